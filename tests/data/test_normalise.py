"""Statistics of the terrain: the same by any way through it, exact far from zero, and of the training windows only."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from dask import config as dask_config

from emberformer.data import normalise
from emberformer.data.fires import open_fires
from emberformer.data.normalise import TerrainNormaliser, conditions_as_terrain

BANDS = {
    "elevation": ("continuous", "m"), "slope_deg": ("continuous", "deg"), "aspect_deg": ("angle", "deg"),
    "burnable": ("binary", "1"), "fuel_model": ("categorical", "scott"),
}  # fmt: skip
SHAPE = (5, len(BANDS), 12, 17)


def terrain_only(values: np.ndarray) -> xr.Dataset:
    """What of a fires store the normaliser looks at."""
    kind, unit = zip(*BANDS.values(), strict=True)
    coords = {"band": np.array(list(BANDS), "T"), "band_kind": ("band", np.array(kind, "T")),
              "band_unit": ("band", np.array(unit, "T"))}  # fmt: skip
    return xr.Dataset({"terrain": (("terrain", "band", "y", "x"), values.astype(np.float32))}, coords=coords)


@pytest.fixture
def values() -> np.ndarray:
    rng = np.random.default_rng(0)
    values = rng.normal(1000, 200, SHAPE)
    values[:, 1] = rng.gamma(2, 5, SHAPE[2:])
    values[:, 4] = rng.integers(100, 109, (SHAPE[0], *SHAPE[2:])) + 10 * np.arange(SHAPE[0])[:, None, None]
    values[rng.random(SHAPE) < 0.2] = np.nan
    values[0, 0, 0, 0] = np.inf
    return values


def direct(values: np.ndarray, terrains: list[int], band: int) -> tuple[float, float]:
    """Mean and standard deviation as NumPy computes them over everything at once."""
    known = values[terrains, band].astype(np.float32).astype(float)
    known = known[np.isfinite(known)]
    return float(known.mean()), float(known.std())


CHUNKS = [(1, 1, 12, 17), (2, 5, 12, 17), (5, 2, 5, 4), (3, 3, 1, 17), (5, 5, 12, 17)]


@pytest.mark.parametrize("chunks", CHUNKS)
def test_any_chunks_give_what_numpy_gives_at_once(values, chunks):
    terrains = [0, 3, 4]
    fires = terrain_only(values).chunk(dict(zip(("terrain", "band", "y", "x"), chunks, strict=True)))
    fitted = TerrainNormaliser.fit([(fires, terrains)])
    assert list(fitted.continuous) == ["elevation", "slope_deg"]
    for number, band in enumerate(fitted.continuous):
        assert fitted.continuous[band] == pytest.approx(direct(values, terrains, number), rel=1e-12)
    of_training = values[terrains, 4]
    codes = np.unique(of_training[np.isfinite(of_training)]).astype(int).tolist()
    assert fitted.codes == {"fuel_model|scott": tuple(codes)}
    assert (fitted.angles, fitted.binary) == (("aspect_deg",), ("burnable",))


@pytest.mark.parametrize("block_bytes", [1, 17 * 4, 12 * 17 * 4, 2 * 5 * 12 * 17 * 4, 2**24])
def test_blocks_of_an_unchunked_store_give_the_same(values, block_bytes, monkeypatch):
    monkeypatch.setattr(normalise, "BLOCK_BYTES", block_bytes)
    fitted = TerrainNormaliser.fit([(terrain_only(values), [1, 2])])
    assert fitted.continuous["elevation"] == pytest.approx(direct(values, [1, 2], 0), rel=1e-12)


@pytest.mark.parametrize("chunks", CHUNKS)
def test_large_offsets_lose_no_digits(values, chunks):
    """A spread of 1/2 on 2^22, all that float32 can hold: a difference of sums of squares would be off by per cents."""
    values[:, 0] = 2**22 + np.random.default_rng(1).integers(0, 2, (SHAPE[0], *SHAPE[2:])) / 2
    fires = terrain_only(values).chunk(dict(zip(("terrain", "band", "y", "x"), chunks, strict=True)))
    mean, deviation = TerrainNormaliser.fit([(fires, [0, 1, 2, 3, 4])]).continuous["elevation"]
    expected_mean, expected_deviation = direct(values - 2**22, [0, 1, 2, 3, 4], 0)
    assert deviation == pytest.approx(expected_deviation, rel=1e-9)
    assert mean - 2**22 == pytest.approx(expected_mean, abs=2e-9)  # the spacing of float64 there


def test_a_band_without_spread_is_divided_by_one(values):
    values[:, 0], values[:, 1] = 0.1, np.nan
    fitted = TerrainNormaliser.fit([(terrain_only(values).chunk(terrain=1, y=5), [0, 1, 2])])
    assert fitted.continuous == {"elevation": (float(np.float32(0.1)), 1.0), "slope_deg": (0.0, 1.0)}


def test_a_band_of_codes_that_training_never_knows_is_left_out(values):
    values[:2, 4] = np.nan
    fires = terrain_only(values)
    fitted = TerrainNormaliser.fit([(fires, [0, 1])])
    assert (fitted.codes, fitted.category_sizes) == ({}, ())
    assert fitted.apply(fires, 3)[1].shape == (0, *SHAPE[2:])


def test_two_landscapes_are_pooled_by_pixels(values):
    other = np.full((1, *SHAPE[1:]), 7.0)
    pooled = TerrainNormaliser.fit([(terrain_only(values), [0]), (terrain_only(other), [0])])
    both = np.concatenate([values[:1], other])
    assert pooled.continuous["elevation"] == pytest.approx(direct(both, [0, 1], 0), rel=1e-12)
    assert 7 in pooled.codes["fuel_model|scott"]


def test_a_landscape_without_training_fires_adds_its_bands_but_no_statistics(values):
    fitted = TerrainNormaliser.fit([(terrain_only(values), [])])
    assert (fitted.continuous, fitted.codes) == ({}, {})
    assert (fitted.angles, fitted.binary) == (("aspect_deg",), ("burnable",))


def test_windows_that_train_nothing_are_not_read_and_the_others_once(values):
    fires = terrain_only(values).chunk(terrain=1)
    read: list[int] = []

    def watched(block: np.ndarray, block_info: dict) -> np.ndarray:
        read.append(block_info[0]["chunk-location"][0])
        return block

    watching = fires.assign(terrain=fires.terrain.copy(data=fires.terrain.data.map_blocks(watched, dtype=np.float32)))
    with dask_config.set(scheduler="synchronous"):
        TerrainNormaliser.fit([(watching, [1, 3])])
    assert sorted(read) == [1, 3]


def test_a_fires_store_read_from_disk_gives_what_it_gives_in_memory(tmp_path):
    from emberformer.data.reading import ingest
    from tests.tiny import write_tiny_dataset

    ingest("tiny", write_tiny_dataset(tmp_path / "raw"), tmp_path / "fires.zarr")
    windows = list(range(open_fires(tmp_path / "fires.zarr").sizes["terrain"]))
    lazy = TerrainNormaliser.fit([(open_fires(tmp_path / "fires.zarr"), windows)])
    assert lazy == TerrainNormaliser.fit([(open_fires(tmp_path / "fires.zarr").load(), windows)])
    assert TerrainNormaliser.from_dict(lazy.to_dict()) == lazy


def test_no_data_enters_no_statistics_and_has_a_channel_of_its_own():
    """Hand-worked: one window of two pixels; the second knows three of five bands, the unknown ones are the mean, 0."""
    two = np.full((1, len(BANDS), 1, 2), 90.0)
    two[0, 0] = [100, np.nan]  # elevation
    two[0, 1] = [8, 12]  # slope
    two[0, 4] = [101, np.nan]  # fuel
    fires = terrain_only(two)
    fitted = TerrainNormaliser.fit([(fires, [0])])
    assert fitted.continuous == {"elevation": (100.0, 1.0), "slope_deg": (10.0, 2.0)}
    channels, categories = fitted.apply(fires.assign_coords(y=[0], x=[0, 1]), 0)
    by_name = dict(zip(fitted.channels, channels[:, 0].tolist(), strict=True))
    assert by_name["elevation"] == [0, 0]
    assert by_name["slope_deg"] == [-1, 1]
    assert by_name["known"] == pytest.approx([1, 0.6])
    assert categories[0, 0].tolist() == [1, 0]


def test_a_data_set_without_conditions_is_served_zeros_beside_one_that_has_some():
    shape = (3, 2, 4, 5)
    told = {
        "condition": np.array(["heat", "wind_direction"], "T"),
        "condition_kind": ("condition", ["continuous", "angle"]),
        "condition_unit": ("condition", ["K", "deg"]),
    }
    values = np.random.default_rng(0).normal(300, 5, shape).astype(np.float32)
    burned = (("frame", "y", "x"), np.zeros((3, 4, 5), np.uint8))
    having = xr.Dataset({"conditions": (("frame", "condition", "y", "x"), values), "burned": burned}, coords=told)
    normaliser = TerrainNormaliser.fit([(conditions_as_terrain(having), [0, 2])])
    mean, deviation = normaliser.continuous["heat"]
    assert mean == pytest.approx(values[[0, 2], 0].mean(), rel=1e-6)
    channels, categories = normaliser.apply(conditions_as_terrain(having), 1)
    assert normaliser.channels == ["heat", "wind_direction.east", "wind_direction.north", "known"]
    np.testing.assert_allclose(channels[0], (values[1, 0] - mean) / deviation, rtol=1e-4, atol=1e-4)
    assert categories.shape == (0, 4, 5)
    channels, _ = normaliser.apply(conditions_as_terrain(xr.Dataset({"burned": burned})), 1)
    assert channels.shape == (4, 4, 5)
    assert (channels == 0).all()
