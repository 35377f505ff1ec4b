"""Sums of a method by fire and lead, of which all its scores are made, as a file: so that anyone can pool them anew.

Each variable has the dimensions fire and lead and can be added up over either; a score is a ratio of such sums. The
fires of all data sets stand one after the other, those of validation and those of test.
"""

from __future__ import annotations

import math
from io import BytesIO
from pathlib import Path

import numpy as np
import xarray as xr
from scipy.sparse import csr_array

from emberformer.evaluate.bands import WIDTHS
from emberformer.evaluate.boundary_sums import SUMS
from emberformer.evaluate.fractions import WINDOWS
from emberformer.evaluate.method_sums import MethodSums, area_thresholds
from emberformer.evaluate.pooling import REGIONS
from emberformer.evaluate.verification import RELIABILITY_BINS, bin_edges

ERRORS = ("squared_error", "negative_log_likelihood")
OF_RELIABILITY = ("reliability_quantity", "reliability_bin")
QUANTITIES = {
    "reliability_quantity": ("pixels", "forecast", "observed"),
    "area_quantity": ("forecasts", "observed", "forecast", "absolute_error"),
    "perimeter_quantity": SUMS,
    "fraction_quantity": ("squared_difference", "squares"),
    "arrival_quantity": ("pixels", "absolute_error", "signed_error", "never_reached"),
    "band_quantity": ("pixels", *ERRORS),
}
DESCRIBED = {  # variable -> long name, units
    "forecasts": ("forecasts that were observed", "1"),
    "new_fire_pixels": ("pixels not burned at the initial time, by observation and lower edge of the bin", "1"),
    "burned_pixels": ("pixels burned at the initial time", "1"),
    "squared_error": ("squared error, new-fire pixels", "1"),
    "negative_log_likelihood": ("negative log-likelihood, clipped, new-fire pixels", "1"),
    "reliability": ("new-fire pixels, their forecasts and observations by lower edge of the bin of probability", "1"),
    "area": ("newly burned area from a threshold on; without one the expected area", "ha"),
    "perimeter": ("perimeters at the threshold chosen on validation; names ending in _m are in metres", "1"),
    "fraction": ("fractions skill score's sums by window in pixels, at that threshold", "1"),
    "arrival": ("arrival time over the leads up to this one, at that threshold; errors in minutes", "1"),
    "band": ("new-fire pixels within a width in pixels of the observed boundary", "1"),
}  # fmt: skip


def write_sums(method: str, sums: MethodSums, path: Path) -> None:
    """Write `sums_dataset` as NetCDF, compressed."""
    found = sums_dataset(method, sums)
    memory = BytesIO()  # HDF5 cannot bear a full disk: it ends the process
    packed = {str(name): {"zlib": True, "complevel": 4} for name in found.data_vars}
    found.to_netcdf(memory, engine="h5netcdf", encoding=packed)
    path.write_bytes(memory.getvalue())


def sums_dataset(method: str, sums: MethodSums) -> xr.Dataset:
    """Sums of a method by fire and lead, without the variables that its kind of score or a single lead does not define.

    Args:
        method: its name.
        sums: of all its forecasts.
    """
    leads = sorted({lead for of in sums.pixels.values() for lead in of.about.lead.tolist()})
    labels = QUANTITIES | {
        "observed": (0, 1), "bin": bin_edges(sums.kind), "region": REGIONS, "window_px": WINDOWS, "width_px": WIDTHS,
        "reliability_bin": np.arange(RELIABILITY_BINS) / RELIABILITY_BINS,
        "area_threshold": area_thresholds(sums.kind, sums.threshold_bin),
    }  # fmt: skip
    parts = [_by_fire_and_lead(sums, dataset, leads) for dataset in sums.pixels]
    found = xr.Dataset(coords=_fires(sums) | {"lead": leads})
    for name, (dims, _) in parts[0].items():
        values = np.concatenate([part[name][1].ravel() for part in parts])
        shape = (found.sizes["fire"], len(leads), *(len(labels[dim]) for dim in dims))
        if values.size == math.prod(shape) and not np.isnan(values).all():
            found[name] = ("fire", "lead", *dims), values.reshape(shape), _described(name)
            found = found.assign_coords({dim: list(labels[dim]) for dim in dims})
    about = {"Conventions": "CF-1.11", "title": "Verification sums by fire and lead", "method": method}
    chosen = {} if sums.threshold is None else {"threshold": sums.threshold}
    return found.assign_attrs(about | {"score_kind": sums.kind} | chosen)


def _by_fire_and_lead(
    sums: MethodSums, dataset: str, leads: list[int]
) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    """Variable -> its dimensions beside fire and lead, and its sums [fire * lead, ...], empty where it has none."""
    pixels, spatial, areas = sums.pixels[dataset], sums.spatial[dataset], sums.areas[dataset]
    fires = {fire_id: number for number, fire_id in enumerate(pixels.fires)}
    of_rows = zip(pixels.about.fire_id, pixels.about.lead, strict=True)
    place = [fires[fire_id] * len(leads) + leads.index(lead) for fire_id, lead in of_rows]
    rows = len(place)
    adding = csr_array((np.ones(rows), (place, range(rows))), shape=(len(fires) * len(leads), rows))

    def added(values: np.ndarray) -> np.ndarray:
        return adding @ values.reshape(rows, math.prod(values.shape[1:])) if len(values) == rows else np.empty(0)

    found = {
        "forecasts": ((), added(np.ones(rows))),
        "new_fire_pixels": (("observed", "bin"), csr_array(adding @ pixels.count).toarray()),
        "burned_pixels": ((), added(pixels.burned)),
        "area": (("area_threshold", "area_quantity"), added(areas)),
        "perimeter": (("region", "perimeter_quantity"), added(spatial.perimeters)),
        "fraction": (("region", "window_px", "fraction_quantity"), added(spatial.fractions)),
        "arrival": (("arrival_quantity",), added(spatial.arrivals)),
        "band": (("width_px", "band_quantity"), added(spatial.bands)),
    }
    for when, of in {"": pixels, "_as_trained": pixels.as_trained}.items():
        found |= {name + when: ((), added(of.errors[:, place])) for place, name in enumerate(ERRORS)}
        found["reliability" + when] = (OF_RELIABILITY, added(of.reliability))
    return found


def _fires(sums: MethodSums) -> dict[str, tuple[str, np.ndarray]]:
    """Data set, name and split of each fire [fire]."""
    fires = [(dataset, *fire) for dataset, of in sums.pixels.items() for fire in of.fires.items()]
    columns = np.array(fires, object).reshape(-1, 3).T
    return {name: ("fire", of) for name, of in zip(("dataset", "fire_id", "split"), columns, strict=True)}


def _described(name: str) -> dict[str, str]:
    long_name, units = DESCRIBED[name.removesuffix("_as_trained")]
    return {"long_name": long_name + " before calibration" * name.endswith("_as_trained"), "units": units}
