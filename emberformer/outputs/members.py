"""Files of an ensemble forecast of one fire: perimeters of its members, burn probability, percentiles of arrival.

The forecast that is given holds the burn probability of the members, so `emberformer.outputs.writing` writes all that
is written of any forecast. Here is what only members have, with rasters of the burn probability beside it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import geopandas
import numpy as np
import xarray as xr
from jaxtyping import Float32, UInt8

from emberformer.arrival_leads import PERCENTILES, arrival_percentiles, burn_probability
from emberformer.atomic import replacing
from emberformer.errors import InputError
from emberformer.geometry import HECTARE
from emberformer.outputs import qgis_styles, rasters, vector_files
from emberformer.outputs.file_names import file_name
from emberformer.outputs.fire_forecast import check_fire_forecast, north_up
from emberformer.outputs.grid import cell_areas, grid_of
from emberformer.outputs.perimeters import COLUMNS, newest_perimeter, outline, table
from emberformer.outputs.times import iso, seconds_ahead, valid_until
from emberformer.outputs.writing import refuse_foreign_files, write_style

MEMBER_COLUMNS = {"member": "int32", **{name: kind for name, kind in COLUMNS.items() if name != "probability"}}


def write_member_files(
    forecast: xr.Dataset,
    arrival_lead: UInt8[np.ndarray, "member y x"],
    folder: str | Path,
    *,
    levels: Sequence[float] = PERCENTILES,
) -> dict[str, Path]:
    """Write the files that only an ensemble has, whole or not at all, with QGIS styles.

    Args:
        forecast: see `emberformer.outputs.fire_forecast`; its probability is the burn probability of the members.
        arrival_lead: of the members, rows and columns as in the forecast; see `emberformer.arrival_leads`.
        folder: where to write: a new folder, an empty one, or one that this function wrote, which is replaced. Another
            one than that of `write_outputs`.
        levels: percentages of members by whose arrival rasters are written.

    Returns:
        What a file holds ("members", "burn_probability_lead01", "arrival_p10", "summary") -> the file.

    Raises:
        InputError: the members are not those of the forecast; a level is none; the folder holds other files.
    """
    folder = Path(folder)
    check_fire_forecast(forecast)
    _check_members(forecast, arrival_lead)
    refuse_foreign_files(folder)
    arrival = arrival_seconds(forecast, arrival_lead, levels)
    files: dict[str, str] = {}
    with replacing(folder) as partial:
        files["members"] = file_name(forecast, "members", "gpkg")
        layers = {"members": member_perimeters(forecast, arrival_lead), "newest_perimeter": newest_perimeter(forecast)}
        styles = {"members": qgis_styles.members_style(), "newest_perimeter": qgis_styles.newest_perimeter_style()}
        vector_files.write_geopackage(partial / files["members"], layers, styles)
        for lead in map(int, forecast.lead.values):
            name = files[f"burn_probability_lead{lead:02d}"] = file_name(forecast, "burn_probability", "tif", lead)
            rasters.write_probability(forecast, lead, partial / name)
            write_style(partial / name, qgis_styles.probability_style(forecast, lead))
        for level, values in zip(levels, arrival, strict=True):
            name = files[f"arrival_p{level:g}"] = file_name(forecast, f"arrival_p{level:g}".replace(".", "_"), "tif")
            _write_arrival(forecast, values, level, len(arrival_lead), partial / name)
            write_style(partial / name, qgis_styles.arrival_style(forecast))
        files["summary"] = file_name(forecast, "members_summary", "json")
        written = sorted({path.name for path in partial.iterdir()} | {files["summary"]})
        about = summarise_members(forecast, arrival_lead) | {"files": written}
        (partial / files["summary"]).write_text(json.dumps(about, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return {content: folder / name for content, name in files.items()}


def member_perimeters(forecast: xr.Dataset, arrival_lead: UInt8[np.ndarray, "member y x"]) -> geopandas.GeoDataFrame:
    """Outlines of what each member has burned by each lead, with what was burned before.

    Returns:
        A row a lead and member, in the CRS of the map; columns as in `MEMBER_COLUMNS`, members from 1. Unknown pixels
        are outside; outlines of nothing are left out.
    """
    upright, grid = _upright(forecast, arrival_lead), grid_of(forecast)
    areas, until, rows = cell_areas(grid), valid_until(forecast), []
    for place, lead in enumerate(map(int, upright.lead.values)):
        for member, arrival in enumerate(upright.arrival_lead.values, 1):
            own = {
                "valid_time": upright.valid_time.values[place],
                "valid_until": until[place],
                "lead": lead,
                "member": member,
                "poly_FeatureCategory": "Forecast Fire Perimeter",
                "poly_MapMethod": "Modeled",
                "poly_Source": f"{forecast.attrs['method']} {forecast.attrs['model_hash']}, member {member}",
            }
            rows.append(own | outline(forecast, arrival <= lead, grid, areas))
    return table(rows, grid, MEMBER_COLUMNS)


def arrival_seconds(
    forecast: xr.Dataset, arrival_lead: UInt8[np.ndarray, "member y x"], levels: Sequence[float]
) -> Float32[np.ndarray, "level y x"]:
    """Time by which so many percent of the members are burned, in s since init_time, first row in the north.

    Arrival is known by lead: a time is the valid time of the lead by which the fire has come, 0 where it was there
    before. NaN where fewer members burn, or pixels are unknown.
    """
    upright, times = _upright(forecast, arrival_lead), np.concatenate([[0.0], seconds_ahead(forecast)])
    found = arrival_percentiles(upright.arrival_lead.values, levels, upright.sizes["lead"])
    seconds = times[np.nan_to_num(found).astype(int)]
    return np.where(np.isnan(found), np.nan, seconds).astype(np.float32)


def summarise_members(forecast: xr.Dataset, arrival_lead: UInt8[np.ndarray, "member y x"]) -> dict[str, object]:
    """Burned area of each member at each lead, in hectares with what was burned before, as JSON content."""
    upright, hectares = _upright(forecast, arrival_lead), cell_areas(grid_of(forecast)) / HECTARE
    leads = [
        {
            "lead": int(lead),
            "valid_time": iso(valid),
            "area_ha": [float(hectares[arrival <= lead].sum()) for arrival in upright.arrival_lead.values],
        }
        for lead, valid in zip(upright.lead.values, upright.valid_time.values, strict=True)
    ]
    named = {name: str(forecast.attrs[name]) for name in ("title", "fire_id", "method", "model_hash")}
    return {**named, "init_time": iso(forecast.init_time.values), "members": len(arrival_lead), "leads": leads}


def _write_arrival(forecast: xr.Dataset, values: np.ndarray, level: float, members: int, path: Path) -> None:
    meaning = f"seconds from init_time until {level:g} % of {members} members are burned, by lead"
    band = rasters.Band(values, np.nan, "s", meaning, "NEAREST")
    rasters.write_band(
        path, band, forecast, {"valid_time": iso(forecast.valid_time.values[-1]), "percent": f"{level:g}"}
    )


def _upright(forecast: xr.Dataset, arrival_lead: np.ndarray) -> xr.Dataset:
    return north_up(forecast.assign(arrival_lead=(("member", "y", "x"), arrival_lead)))


def _check_members(forecast: xr.Dataset, arrival_lead: UInt8[np.ndarray, "member y x"]) -> None:
    remedy = "give the members of this forecast, with the burn probability that was drawn with them"
    if arrival_lead.shape[1:] != forecast.burned.shape:
        found, expected = f"rasters of {arrival_lead.shape[1:]}", f"the forecast's grid {forecast.burned.shape}"
        raise InputError("members", found, expected, remedy)
    share, given = burn_probability(arrival_lead, forecast.sizes["lead"]), forecast.probability.values
    if not np.array_equal(np.isnan(share), np.isnan(given)) or (given[share > 0] == 0).any():
        found = "members that burn where the forecast's probability is 0, or is unknown"
        raise InputError("members", found, "members and burn probability of the same draw", remedy)
