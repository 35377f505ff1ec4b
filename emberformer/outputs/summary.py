"""Summary: the headline figures of a forecast and what it was made from, as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from emberformer.geometry import HECTARE
from emberformer.outputs.fire_forecast import UNKNOWN, north_up
from emberformer.outputs.grid import cell_areas, grid_of
from emberformer.outputs.times import iso, seconds_ahead


def summarise(forecast: xr.Dataset, probabilities: Sequence[float]) -> dict[str, object]:
    """Headline figures of a forecast.

    Expected area is the sum of probability times area over all known pixels: the mean of the burned area, if the
    probabilities are right.

    Args:
        forecast: see `emberformer.outputs.fire_forecast`.
        probabilities: perimeters whose areas to give.

    Returns:
        JSON content: what and when; `grid`; `area_now_ha`; `leads`, each with its times, `expected_area_ha`,
        `expected_growth_ha`, `area_ha` (within probability p or more, by p), `unknown_area_ha` and wind; provenance.
    """
    upright, grid = north_up(forecast), grid_of(forecast)
    hectares = cell_areas(grid) / HECTARE
    now = float(hectares[upright.burned.values == 1].sum())
    leads = []
    for place, ahead in enumerate(seconds_ahead(forecast).tolist()):
        probability = upright.probability[place].values
        expected = float(np.nansum(probability * hectares))
        within = {f"{p:g}": float(hectares[probability >= np.float32(p)].sum()) for p in probabilities}
        wind = [float(forecast[name].values[place]) for name in ("wind_u", "wind_v")]
        leads.append(
            {
                "lead": place + 1,
                "valid_time": iso(forecast.valid_time.values[place]),
                "seconds_ahead": ahead,
                "expected_area_ha": expected,
                "expected_growth_ha": expected - now,
                "area_ha": within,
                "unknown_area_ha": float(hectares[np.isnan(probability)].sum()),
                "wind_towards_east_north_m_s": wind if np.isfinite(wind).all() else None,
            }
        )
    return {
        "title": str(forecast.attrs["title"]),
        "fire_id": str(forecast.attrs["fire_id"]),
        "method": str(forecast.attrs["method"]),
        "model_hash": str(forecast.attrs["model_hash"]),
        "init_time": iso(forecast.init_time.values),
        "seconds_per_frame": float(forecast.attrs["seconds_per_frame"]),
        "area_now_ha": now,
        "unknown_area_now_ha": float(hectares[upright.burned.values == UNKNOWN].sum()),
        "leads": leads,
        "grid": {
            "crs_wkt": None if grid.crs is None else grid.crs.to_wkt(),
            "transform": list(grid.transform)[:6],
            "rows": grid.shape[0],
            "columns": grid.shape[1],
        },
        "provenance": forecast.attrs["provenance"],
    }


def write_summary(path: Path, content: Mapping[str, object]) -> None:
    """Write JSON content, readable."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
