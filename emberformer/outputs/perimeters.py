"""Perimeters: outlines of a forecast at chosen probabilities, and of the newest fire that was observed.

Each has plain attributes and, under their prefix `poly_`, those of the perimeters that US agencies publish: "WFIGS
Interagency Fire Perimeters" of the National Interagency Fire Center (https://data-nifc.opendata.arcgis.com), which
follow the NWCG data standard for the wildland fire event polygon:

    poly_IncidentName      name of the incident: `fire_id`
    poly_GISAcres          area in international acres
    poly_PolygonDateTime   the time that the outline shows: `valid_time`
    poly_DateCurrent       date of the record: `init_time`, the newest that it knows
    poly_FeatureCategory   "Wildfire Daily Fire Perimeter" for the observed fire, "Forecast Fire Perimeter" for a
                           forecast: not in the standard's list, so that no filter takes a forecast for a fire
    poly_MapMethod         "Modeled" for a forecast; none for the observed fire, whose source is not known here
    poly_Source            method and hash of the model, or "observed"
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import xarray as xr

from emberformer.errors import InputError
from emberformer.geometry import HECTARE
from emberformer.outputs.fire_forecast import north_up
from emberformer.outputs.grid import Grid, cell_areas, grid_of
from emberformer.outputs.polygons import polygonise
from emberformer.outputs.times import valid_until

PROBABILITIES = (0.1, 0.25, 0.5, 0.75, 0.9)
ACRE = 4046.8564224  # m2, international
COLUMNS = {
    "fire_id": "str",
    "init_time": "datetime64[ms, UTC]",
    "valid_time": "datetime64[ms, UTC]",
    "valid_until": "datetime64[ms, UTC]",
    "lead": "int32",
    "probability": "float64",
    "area_ha": "float64",
    "method": "str",
    "model_hash": "str",
    "poly_IncidentName": "str",
    "poly_GISAcres": "float64",
    "poly_PolygonDateTime": "datetime64[ms, UTC]",
    "poly_DateCurrent": "datetime64[ms, UTC]",
    "poly_FeatureCategory": "str",
    "poly_MapMethod": "str",
    "poly_Source": "str",
}


def perimeters(forecast: xr.Dataset, probabilities: Sequence[float] = PROBABILITIES) -> geopandas.GeoDataFrame:
    """Outlines of the pixels whose probability of being burned is at least p, for each lead and p.

    Args:
        forecast: see `emberformer.outputs.fire_forecast`.
        probabilities: the p, above 0 and up to 1.

    Returns:
        A row a lead and p, least p first so that likelier ones are drawn on top, in the CRS of the map; columns as in
        `COLUMNS`. `valid_until` is the next valid time, one frame later for the last. Outlines of nothing are left out.
        Unknown pixels are outside.

    Raises:
        InputError: a p that is not above 0 and up to 1.
    """
    check_probabilities(probabilities)
    upright, grid = north_up(forecast), grid_of(forecast)
    areas, until = cell_areas(grid), valid_until(forecast)
    rows = []
    for place, lead in enumerate(upright.lead.values):
        probability = upright.probability[place].values
        for p in sorted(set(map(float, probabilities))):
            region = probability >= np.float32(p)
            own = {
                "valid_time": upright.valid_time.values[place],
                "valid_until": until[place],
                "lead": int(lead),
                "probability": p,
                "poly_FeatureCategory": "Forecast Fire Perimeter",
                "poly_MapMethod": "Modeled",
                "poly_Source": f"{forecast.attrs['method']} {forecast.attrs['model_hash']}",
            }
            rows.append(own | outline(forecast, region, grid, areas))
    return table(rows, grid, COLUMNS)


def newest_perimeter(forecast: xr.Dataset) -> geopandas.GeoDataFrame:
    """Outline of what was burned at `init_time`: one row, none if nothing was; columns as those of `perimeters`.

    `lead` is 0 and `probability` 1; the perimeter stands until the first valid time. Unknown pixels are outside.
    """
    upright, grid = north_up(forecast), grid_of(forecast)
    row = {
        "valid_time": forecast.init_time.values,
        "valid_until": forecast.valid_time.values[0],
        "lead": 0,
        "probability": 1.0,
        "poly_FeatureCategory": "Wildfire Daily Fire Perimeter",
        "poly_MapMethod": None,
        "poly_Source": "observed",
    }
    return table([row | outline(forecast, upright.burned.values == 1, grid, cell_areas(grid))], grid, COLUMNS)


def check_probabilities(probabilities: Sequence[float]) -> None:
    """Check that perimeters can be drawn at these probabilities.

    Raises:
        InputError: one of them is not above 0 and up to 1.
    """
    for p in probabilities:
        if not 0 < p <= 1:
            raise InputError("probabilities of perimeters", f"{p}", "numbers above 0 and up to 1", "such as 0.5")


def outline(forecast: xr.Dataset, region: np.ndarray, grid: Grid, areas: np.ndarray) -> dict[str, Any]:
    """What a row says of a region of pixels: its outline and area, of which forecast; first row in the north."""
    area = float(areas[region].sum())
    return {
        "geometry": polygonise(region, grid.transform),
        "area_ha": area / HECTARE,
        "poly_GISAcres": area / ACRE,
        "fire_id": str(forecast.attrs["fire_id"]),
        "poly_IncidentName": str(forecast.attrs["fire_id"]),
        "init_time": forecast.init_time.values,
        "poly_DateCurrent": forecast.init_time.values,
        "method": str(forecast.attrs["method"]),
        "model_hash": str(forecast.attrs["model_hash"]),
    }


def table(rows: list[dict[str, Any]], grid: Grid, kinds: Mapping[str, str]) -> geopandas.GeoDataFrame:
    """Rows as a layer, without outlines of nothing; `kinds` of its columns by their names."""
    drawn = [row | {"poly_PolygonDateTime": row["valid_time"]} for row in rows if row["area_ha"]]
    columns = {
        name: pd.to_datetime([row[name] for row in drawn], utc=True).astype(dtype)
        if dtype.startswith("datetime")
        else pd.Series([row[name] for row in drawn], dtype=object if dtype == "str" else dtype)
        for name, dtype in kinds.items()
    }
    outlines = geopandas.GeoSeries([row["geometry"] for row in drawn], crs=grid.crs)
    return geopandas.GeoDataFrame(columns, geometry=outlines)
