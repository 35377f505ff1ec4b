"""A world mirrored or turned: a fires store in which pictures, aspects, winds and windows turn together.

Bands of kind `angle` and weather in degrees are directions, clockwise from north, and turn as vectors do, as the wind
does; a direction that is declared as anything else cannot be known as one. All other values are scalars, the slope in
degrees among them, and only change their place. Views are those of `emberformer.views`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import xarray as xr

from emberformer.data.fires import Band, BandKind, Fire, FireSource, Frame, Ground, Window, open_fires, stays_burned
from emberformer.data.fires_writing import write_fires
from emberformer.errors import InputError
from emberformer.views import turned, turned_vector

VIEWS = (
    "as it is", "mirrored east-west", "mirrored north-south", "turned by 180 degrees", "mirrored at its NW-SE diagonal",
    "turned by 90 degrees, left", "turned by 90 degrees, right", "mirrored at its NE-SW diagonal",
)  # fmt: skip


def turned_angle(degrees: np.ndarray, view: int) -> np.ndarray:
    """Directions in [0, 360) degrees clockwise from north, in a view; NaN stays.

    >>> [turned_angle(np.array([90.0, 0.0]), view).round(6).tolist() for view in (1, 4)]
    [[270.0, 0.0], [180.0, 270.0]]
    """
    if view == 0:
        return degrees  # not even rounded
    angle = np.deg2rad(degrees.astype(np.float64))
    east, north = turned_vector(np.sin(angle), np.cos(angle), view)
    within = np.rad2deg(np.arctan2(east, north)) % 360
    return within.astype(degrees.dtype) % 360  # what lies just below 360 may have been rounded to it


def turned_window(window: Window, extent: tuple[int, int], view: int) -> Window:
    """Where a window lies in a landscape of so many rows and columns, turned with it.

    >>> turned_window(Window(row=1, column=2, height=3, width=4), (10, 20), 1)
    Window(row=1, column=14, height=3, width=4, ground=0)
    """
    row, column, height, width = window[:4]
    column = extent[1] - column - width if view & 1 else column
    row = extent[0] - row - height if view & 2 else row
    return Window(column, row, width, height) if view & 4 else Window(row, column, height, width)


def turned_transform(
    transform: Sequence[float], extent: tuple[int, int], view: int
) -> tuple[float, float, float, float, float, float]:
    """Affine transform of the turned landscape, north-up too: the map turns about the origin of its coordinates."""
    a, _, c, _, e, f = transform
    c = -(c + a * extent[1]) if view & 1 else c
    f = -(f + e * extent[0]) if view & 2 else f
    return (-e, 0.0, -f, 0.0, -a, -c) if view & 4 else (a, 0.0, c, 0.0, e, f)


def turned_weather(weather: np.ndarray, units: Sequence[str], view: int) -> np.ndarray:
    """Weather [frame, variable]: the wind, which comes first, as a vector; what is in degrees as a direction."""
    result = weather.copy()
    result[:, :2] = np.stack(turned_vector(weather[:, 0], weather[:, 1], view), 1)
    for column, unit in enumerate(units):
        if unit == "deg":
            result[:, column] = turned_angle(weather[:, column], view)
    return result


def turned_source(fires: xr.Dataset, chosen: Sequence[int], view: int) -> FireSource:
    """Some fires of a store in a view, as the writer of fires stores takes them.

    Args:
        fires: an open fires store.
        chosen: numbers of the fires, in their order.
        view: 0 to 7, see `emberformer.views`.
    """
    corners = np.stack([fires.window_row.values, fires.window_col.values], 1)[list(chosen)]
    size = (fires.sizes["y"], fires.sizes["x"])
    extent = (int(corners[:, 0].max()) + size[0], int(corners[:, 1].max()) + size[1])  # as far as it is known
    windows = [turned_window(Window(int(row), int(column), *size), extent, view) for row, column in corners]
    terrain_of = dict(zip(windows, fires.terrain_index.values[list(chosen)].tolist(), strict=True))
    ground = int(fires.ground_index.values[chosen[0]])
    names, units = (list(map(str, fires[name].values)) for name in ("weather_variable", "weather_unit"))
    bands = tuple(
        Band(str(name), cast(BandKind, str(kind)), str(unit))
        for name, kind, unit in zip(fires.band.values, fires.band_kind.values, fires.band_unit.values, strict=True)
    )
    return FireSource(
        dataset=fires.attrs["dataset"],
        fires=tuple(_fire(fires, *one, units, view) for one in zip(chosen, windows, strict=True)),
        frames=_frames(fires, chosen, view),
        bands=bands,
        grounds=(
            Ground(
                str(fires.crs_wkt.values[ground]) if view == 0 else "",  # a turned world is nowhere on Earth
                turned_transform(tuple(fires["transform"].values[ground].tolist()), extent, view),
                lambda window: _terrain(fires.terrain[terrain_of[window]].values, bands, view),
            ),
        ),
        weather_variables=dict(zip(names, units, strict=True)),
        cell_m=fires.attrs["cell_m"],
        seconds_per_frame=fires.attrs["seconds_per_frame"],
        provenance={"fires": fires.attrs["content_digest"], "view": VIEWS[view]},
    )


def _rows(fires: xr.Dataset, fire: int) -> slice:
    start = int(fires.row_start.values[fire])
    return slice(start, start + int(fires.row_size.values[fire]))


def _fire(fires: xr.Dataset, fire: int, window: Window, units: Sequence[str], view: int) -> Fire:
    rows = _rows(fires, fire)
    weather = turned_weather(fires.weather[rows].values, units, view)
    times = fires.valid_time.values[rows].astype("datetime64[s]")
    return Fire(str(fires.fire_id.values[fire]), window, weather, times)


def _frames(fires: xr.Dataset, chosen: Sequence[int], view: int) -> Iterator[Frame]:
    for fire in chosen:
        rows = _rows(fires, fire)
        for row in range(rows.start, rows.stop):
            burned, isochrone = (
                np.ascontiguousarray(turned(fires[name][row].values, 0, view)) if name in fires else None
                for name in ("burned", "isochrone")
            )
            assert burned is not None
            yield Frame(burned, isochrone)


def _terrain(terrain: np.ndarray, bands: Sequence[Band], view: int) -> np.ndarray:
    """Terrain [band, y, x] of one window."""
    result = turned(terrain, 1, view).copy()
    for number, band in enumerate(bands):
        if band.kind == "angle":
            result[number] = turned_angle(result[number], view)
    return result


def refuse_other_worlds(fires: xr.Dataset, chosen: Sequence[int]) -> None:
    """Views are made of fires that stay burned, on one ground, with nothing else that changes from frame to frame.

    Raises:
        InputError: these are others.
    """
    kinds = {
        "fires that go out": not stays_burned(fires),
        "fires on several grounds": len(set(fires.ground_index.values[list(chosen)].tolist())) > 1,
        "conditions that change from frame to frame": "conditions" in fires,
    }
    if found := [kind for kind, there in kinds.items() if there]:
        raise InputError(
            f"data set {fires.attrs['dataset']!r}", " and ".join(found), "fires that stay burned, on one ground",
            "measure on a simulated data set of one landscape",
        )  # fmt: skip


def write_world(path: Path, fires: xr.Dataset, chosen: Sequence[int], view: int) -> xr.Dataset:
    """Write the fires store of some fires in a view, and open it.

    Raises:
        InputError: fires that no view is made of, or the isochrones of these fires alone would be taken for another
            kind of target.
    """
    refuse_other_worlds(fires, chosen)
    write_fires(path, turned_source(fires, chosen, view))
    world = open_fires(path)
    kinds = [store.attrs["target_kind"] for store in (fires, world)]
    if (kinds[0] == "cumulative") != (kinds[1] == "cumulative"):
        raise InputError(
            f"the isochrones of {len(chosen)} fires of data set {fires.attrs['dataset']!r}", f"target_kind {kinds[1]}",
            f"{kinds[0]}, as of all of its fires", "choose more fires",
        )  # fmt: skip
    return world
