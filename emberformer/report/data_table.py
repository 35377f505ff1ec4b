"""The data of the page: each data set's ground, fires, maps and times in one row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import xarray as xr

from emberformer.data.split import SPLITS, read_split
from emberformer.layout import Layout
from emberformer.report.cases import CALENDAR_FROM
from emberformer.report.durations import duration_text


class DataRow(NamedTuple):
    """A data set as the page shows it: fires of each split, and the rest as text."""

    name: str
    train: int
    validation: int
    test: int
    maps: str
    ground: str
    known: str
    times: str


def data_rows(layout: Layout, fires: Mapping[str, xr.Dataset]) -> list[DataRow]:
    """One row for each data set.

    Args:
        layout: its split is read.
        fires: data set -> opened fires store.
    """
    split, rows = read_split(layout.split, "report"), []
    for name, store in fires.items():
        train, validation, test = (list(split[name].values()).count(part) for part in SPLITS)
        side = [size * float(store.attrs["cell_m"]) / 1000 for size in (store.sizes["x"], store.sizes["y"])]
        rows.append(
            DataRow(
                name=name,
                train=train,
                validation=validation,
                test=test,
                maps=f"{store.sizes['frame']:,}, one every {duration_text(float(store.attrs['seconds_per_frame']))}",
                ground=f"{side[0]:.3g} × {side[1]:.3g} km in cells of {store.attrs['cell_m']:g} m",
                known=", ".join(str(band).removesuffix("_deg").replace("_", " ") for band in store.band.values),
                times=_times(store.valid_time.values),
            )
        )
    return rows


def _times(times: np.ndarray) -> str:
    """First and last day; those of 1970 are counted from zero."""
    dated = times[times >= CALENDAR_FROM]
    if not dated.size:
        return "without dates"
    first, last = (str(time.astype("datetime64[D]")) for time in (dated.min(), dated.max()))
    return first if first == last else f"{first} to {last}"
