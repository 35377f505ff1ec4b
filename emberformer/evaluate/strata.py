"""Strata: classes of forecasts by wind, slope and size of the fire, all known at the initial time.

A class is a property of the step and not of who forecasts it, and its edges are conventions, not quantiles of the data,
so that classes of several data sets and studies are the same.

    wind_m_s    speed of the wind of the step from the initial frame on; Beaufort forces 0-2, 3, 4, 5 and more
    slope_deg   mean slope of the unburned ground within 300 m of the burned area; classes of the US National Fire
                Danger Rating System: up to 25 %, 40 %, 55 %, and steeper
    size_ha     burned area; size classes of the US National Wildfire Coordinating Group: A to C (up to 100 acres), D
                (300), E (1000), F (5000), G

A class holds its lower edge. What is not known (no wind, no terrain, nothing burned yet) is a class "unknown".

References:
    Deeming, Burgan and Cohen (1977), The National Fire-Danger Rating System - 1978, USDA Forest Service GTR INT-39.
    NWCG, Data standards: size class of fire, https://www.nwcg.gov/data-standards/approved/size-class-of-fire
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import xarray as xr

from emberformer.geometry import HECTARE, distance_to, surroundings

EDGES = {
    "wind_m_s": (3.4, 5.5, 8.0),
    "slope_deg": (14.0, 21.8, 28.8),
    "size_ha": (40.5, 121.4, 404.7, 2023.4),
}
FRONT_M = 300.0


def class_names(stratum: str) -> list[str]:
    """Names of the classes of a stratum, from low to high, then "unknown".

    >>> class_names("wind_m_s")
    ['<3.4', '3.4-5.5', '5.5-8', '>=8', 'unknown']
    """
    edges = EDGES[stratum]
    between = [f"{low:g}-{high:g}" for low, high in pairwise(edges)]
    return [f"<{edges[0]:g}", *between, f">={edges[-1]:g}", "unknown"]


def classes_of(conditions: pd.DataFrame) -> pd.DataFrame:
    """The class of each forecast in each stratum.

    Args:
        conditions: columns named as strata, NaN = unknown; see `conditions_of`.

    Returns:
        The same columns with names of classes.
    """
    found = {}
    for stratum, edges in EDGES.items():
        values, names = conditions[stratum].to_numpy(), np.array(class_names(stratum))
        found[stratum] = names[np.where(np.isnan(values), len(names) - 1, np.digitize(values, edges))]
    return pd.DataFrame(found, index=conditions.index)


def conditions_of(forecasts: xr.Dataset, fires: xr.Dataset) -> pd.DataFrame:
    """Wind, slope and size of the fire at the initial time of each forecast.

    Args:
        forecasts: an opened forecast store; its values are not read.
        fires: the opened fires store of the same data set.

    Returns:
        Columns wind_m_s, slope_deg, size_ha, indexed by fire_id and init_step; NaN = unknown.
    """
    place = pd.Index(fires.fire_id.values.tolist()).get_indexer(forecasts.fire_id.values.tolist())
    rows = fires.row_start.values[place] + forecasts.init_step.values
    wind = fires.weather.sel(weather_variable=["wind_u", "wind_v"]).values[rows]
    cell_m = float(fires.attrs["cell_m"])
    bands = fires.band.values.tolist()
    slope_of: dict[int, np.ndarray | None] = {}
    ground = []
    for fire, row in zip(place.tolist(), rows.tolist(), strict=True):
        if fire not in slope_of:  # forecasts of a fire follow one another
            terrain = int(fires.terrain_index[fire])
            slope_of = {fire: fires.terrain[terrain, bands.index("slope_deg")].values if "slope_deg" in bands else None}
        burned = fires.burned[row].values
        size = np.count_nonzero(burned == 1) * cell_m**2 / HECTARE
        ground.append((slope_near(burned, slope_of[fire], cell_m), size if size else np.nan))
    steps = pd.MultiIndex.from_arrays(
        [forecasts.fire_id.values.tolist(), forecasts.init_step.values], names=["fire_id", "init_step"]
    )
    slope, size = np.reshape(np.array(ground, float), (-1, 2)).T
    return pd.DataFrame({"wind_m_s": np.hypot(*wind.T).astype(float), "slope_deg": slope, "size_ha": size}, index=steps)


def slope_near(burned: np.ndarray, slope: np.ndarray | None, cell_m: float) -> float:
    """Mean slope of the unburned pixels within 300 m of the burned area; at least those beside it.

    Args:
        burned: 1 burned, 0 not, 255 unknown [y, x].
        slope: any unit, NaN = unknown [y, x]; None if the terrain has none.
        cell_m: side of a pixel in metres.

    Returns:
        NaN where nothing burned, or no slope is known.
    """
    if slope is None:
        return float("nan")
    reach = max(FRONT_M / cell_m, 1.0)
    cut = surroundings(burned == 1, int(np.ceil(reach)))
    near = slope[cut][(distance_to(burned[cut] == 1) <= reach) & (burned[cut] == 0)]
    known = near[~np.isnan(near)]
    return float(known.mean()) if known.size else float("nan")


def with_classes(about: pd.DataFrame, classes: pd.DataFrame) -> pd.DataFrame:
    """Rows of forecasts (`ForecastSums.about`) with the columns of `classes_of` of the same steps."""
    return about.join(classes[~classes.index.duplicated()], on=["fire_id", "init_step"])
