"""Laws that the fires store of every source keeps, on a small data set in the source's own files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from emberformer.data.fires import fire_on_map, fire_rows, fire_transform, open_fires
from emberformer.data.ndws.tiles import FIRE
from emberformer.data.reading import ingest
from emberformer.dataset_settings import (
    Cell2FireSettings,
    DatasetSettings,
    NdwsSettings,
    ObservedSettings,
    Sim2RealSettings,
    WildfireSpreadTSSettings,
)
from tests.data import test_cell2fire, test_observed
from tests.ndws_tiles import make_tile, write_tiles
from tests.new_fires import grow, write_raster
from tests.sim2real_scenes import write_mask, write_published
from tests.tiny import write_tiny_dataset
from tests.wsts_files import dates_from, made_days, write_geotiffs

CRS = "EPSG:32719"


class Source(NamedTuple):
    """A small data set, and how the newest frame of one of its fires is made another one."""

    settings: DatasetSettings
    fire_id: str
    change: Callable[[], None]


def deep_crown(root: Path) -> Source:
    settings = write_tiny_dataset(root)

    def change() -> None:
        for kind, name in (("fire_frames", "fire"), ("isochrones", "iso")):
            path = sorted((root / kind / "sequence_002").glob(f"{name}_*.png"))[-1]
            values = np.asarray(Image.open(path)).copy()
            values[:, :] = (253, 231, 36, 255)
            Image.fromarray(values).save(path)

    return Source(settings, "sequence_002", change)


def cell2fire(root: Path) -> Source:
    test_cell2fire.write_instance(root)
    last = root / "results" / "Grids" / "Grids2" / "ForestGrid03.csv"
    told = Cell2FireSettings.model_validate(
        {"root": root, "minutes_per_frame": 60, "window": 8, "bands": test_cell2fire.BANDS, "crs": CRS}
    )
    everything = np.ones(test_cell2fire.SHAPE, int)
    return Source(told, "simulation_2", lambda: test_cell2fire.write_grid(last, everything))


def observed(root: Path) -> Source:
    test_observed.write_fires(root)
    told = ObservedSettings.model_validate(
        {"root": root, "minutes_per_frame": 30, "window": 32, "bands": test_observed.LEVEL}
    )

    def change() -> None:
        write_raster(root / "fires" / "home" / "fire_003.tif", np.ones_like(grow(1)[0]))

    return Source(told, "home", change)


def wsts(root: Path) -> Source:
    for number, shape in enumerate(((6, 8), (5, 9))):
        write_geotiffs(root, f"2018/fire_{number}", dates_from("2018-06-01", 4), made_days(4, shape, seed=number))

    def change() -> None:
        days = made_days(4, (6, 8), seed=0)
        days[3, [*range(12), *range(15, 16), *range(17, 23)]] += 1
        write_geotiffs(root, "2018/fire_0", dates_from("2018-06-01", 4), days)

    return Source(WildfireSpreadTSSettings(root=root), "2018_fire_0", change)


def ndws(root: Path) -> Source:
    root.mkdir()
    path = root / "next_day_wildfire_spread_train_00.tfrecord"
    tiles = [make_tile(0), make_tile(1)]
    write_tiles(path, tiles)

    def change() -> None:
        write_tiles(path, [tiles[0] | {FIRE: tiles[1][FIRE]}, tiles[1]])

    return Source(NdwsSettings(root=root), "train_00_000000", change)


def sim2real(root: Path) -> Source:
    write_published(root, {"0001_00001": 3, "0001_00002": 4})
    last = root / "Satellite_Images_Mask" / "0001_00002" / "out4.jpg"
    shape = np.asarray(Image.open(last)).shape
    return Source(Sim2RealSettings(root=root), "0001_00002", lambda: write_mask(last, np.ones(shape, "uint8")))


SOURCES = (deep_crown, cell2fire, observed, wsts, ndws, sim2real)


@pytest.fixture(params=SOURCES, ids=lambda source: source.__name__)
def source(request, tmp_path) -> Source:
    return request.param(tmp_path / "raw")


def read(source: Source, path: Path) -> xr.Dataset:
    ingest("made", source.settings, path)
    return open_fires(path)


def test_every_row_is_another_fire_and_step(source, tmp_path):
    store = read(source, tmp_path / "a.zarr")
    pairs = set(zip(store.fire_index.values.tolist(), store.step.values.tolist(), strict=True))
    assert len(pairs) == store.sizes["frame"] == int(store.row_size.sum())
    assert len(set(store.fire_id.values.tolist())) == store.sizes["fire"]
    starts, sizes = store.row_start.values, store.row_size.values
    assert (np.sort(starts) == np.cumsum([0, *sizes])[:-1]).all()
    for fire_id in store.fire_id.values.tolist():
        assert (np.diff(store.valid_time[fire_rows(store, fire_id)].values) > np.timedelta64(0, "s")).all()


def test_what_comes_last_changes_nothing_before_it(source, tmp_path):
    """The newest frame of a fire is a target alone: no earlier frame, place, terrain, condition or weather knows it."""
    before = read(source, tmp_path / "a.zarr").load()
    source.change()
    after = read(source, tmp_path / "b.zarr").load()
    assert before.attrs["content_digest"] != after.attrs["content_digest"]
    assert before.sizes == after.sizes
    kept = np.delete(np.arange(before.sizes["frame"]), fire_rows(before, source.fire_id).stop - 1)
    for name in {"burned", "weather", "valid_time", "conditions"} & set(before.variables):
        np.testing.assert_array_equal(before[name].values[kept], after[name].values[kept], err_msg=name)
    for name in ("fire_id", "terrain", "transform", "crs_wkt", "window_row", "window_col"):
        np.testing.assert_array_equal(before[name].values, after[name].values, err_msg=name)


def test_pixels_have_the_place_that_the_map_says(source, tmp_path):
    store = read(source, tmp_path / "a.zarr")
    for fire_id in store.fire_id.values.tolist():
        fire, window = fire_on_map(store, fire_id), fire_transform(store, fire_id)
        rows, columns = np.arange(store.sizes["y"]), np.arange(store.sizes["x"])
        x, y = fire.x.values, fire.y.values
        inverse = ~window
        np.testing.assert_array_equal(np.floor(inverse.a * x + inverse.c), columns)
        np.testing.assert_array_equal(np.floor(inverse.e * y + inverse.f), rows)


def test_what_is_stored_is_what_the_store_promises(source, tmp_path):
    store = read(source, tmp_path / "a.zarr").load()
    assert set(np.unique(store.burned.values)) <= {0, 1, 255}
    assert store.weather_variable.values[:2].tolist() == ["wind_u", "wind_v"]
    assert set(store.band_kind.values) <= {"continuous", "categorical", "binary", "angle"}
    for kind, values in zip(store.band_kind.values, store.terrain.values.swapaxes(0, 1), strict=True):
        if kind == "angle":
            known = values[np.isfinite(values)]
            assert ((known >= 0) & (known < 360)).all()
    assert list(source.settings.band_units) == store.band.values.tolist()
    assert list(source.settings.band_units.values()) == store.band_unit.values.tolist()
    assert source.settings.stays_burned == (store.attrs["fire_kind"] == "cumulative")
    assert source.settings.minutes_per_frame * 60 == store.attrs["seconds_per_frame"]
