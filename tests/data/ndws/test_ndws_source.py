"""Tiles as fires: pixels, conditions, wind and twins by hand; damage; twelve genuine tiles."""

import logging
from pathlib import Path

import numpy as np
import pytest

from emberformer.data.fires import fire_rows, open_fires
from emberformer.data.fires_writing import write_fires
from emberformer.data.leakage import twin_keys
from emberformer.data.ndws.inputs import CONDITIONS, FIRE, PREVIOUS_FIRE, ndws_inputs
from emberformer.data.ndws.source import mean_wind, read_ndws
from emberformer.errors import InputError
from emberformer.ndws_settings import NdwsSettings
from tests.ndws_tiles import make_tile, write_tiles

SHARED = Path(__file__).parents[3].parent / "shared" / "data" / "real" / "ndws_micro" / "data"
PREFIX = "next_day_wildfire_spread"


@pytest.fixture
def root(tmp_path):
    """Four tiles; eval_00_000000 is the place of train_00_000001 on another day, in a gzip'd file."""
    (tmp_path / "source").mkdir()
    tiles = [make_tile(seed) for seed in range(3)]
    twin = make_tile(3, elevation=tiles[1]["elevation"])
    write_tiles(tmp_path / "source" / f"{PREFIX}_train_00.tfrecord", tiles[:2])
    write_tiles(tmp_path / "source" / f"{PREFIX}_test_00.tfrecord", tiles[2:])
    write_tiles(tmp_path / "source" / f"{PREFIX}_eval_00.tfrecord.gz", [twin])
    return tmp_path / "source"


def _ingest(root, tmp_path, **changes):
    write_fires(tmp_path / "fires.zarr", read_ndws("tiles", NdwsSettings(root=root, **changes)))
    return open_fires(tmp_path / "fires.zarr")


def test_each_tile_is_a_fire_of_two_days(root, tmp_path):
    fires = _ingest(root, tmp_path)
    names = ["train_00_000000", "train_00_000001", "eval_00_000000", "test_00_000000"]
    assert fires.fire_id.values.tolist() == names
    assert dict(fires.sizes) | {"condition": 9, "band": 2, "ground": 4, "frame": 8} == dict(fires.sizes)
    assert (fires.attrs["fire_kind"], fires.attrs["cell_m"], fires.attrs["seconds_per_frame"]) == (
        "active",
        1000,
        86400,
    )
    assert set(fires.crs_wkt.values.tolist()) == {""}
    assert np.diff(fires.valid_time.values[:2]) == np.timedelta64(1, "D")
    for name, tile in zip(names, [make_tile(0), make_tile(1), make_tile(3), make_tile(2)], strict=True):
        own = fires.isel(frame=fire_rows(fires, name))
        for day, published in enumerate((tile[PREVIOUS_FIRE], tile[FIRE])):
            np.testing.assert_array_equal(own.burned[day] == 1, published == 1)


def test_unknown_is_255_in_what_goes_in_and_in_what_is_to_be_forecast(root, tmp_path):
    fires, tile = _ingest(root, tmp_path), make_tile(0)
    for day, name in enumerate((PREVIOUS_FIRE, FIRE)):
        burned = fires.burned[day].values
        for published, stored in {-1: 255, 0: 0, 1: 1}.items():
            np.testing.assert_array_equal(burned == stored, tile[name] == published)


def test_conditions_are_those_of_the_first_day_in_the_source_s_units(root, tmp_path):
    fires, tile = _ingest(root, tmp_path), make_tile(0)
    assert fires.condition.values.tolist() == ["th", "vs", "tmmn", "tmmx", "sph", "pr", "pdsi", "NDVI", "erc"]
    kinds = dict(zip(fires.condition.values.tolist(), fires.condition_kind.values.tolist(), strict=True))
    assert [name for name, kind in kinds.items() if kind == "angle"] == ["th"]
    assert dict(zip(fires.condition.values.tolist(), fires.condition_unit.values.tolist(), strict=True)) == CONDITIONS
    for name in CONDITIONS:
        np.testing.assert_array_equal(fires.conditions[0].sel(condition=name), tile[name])
    assert np.isnan(fires.conditions[1]).all()
    for band in ("elevation", "population"):
        np.testing.assert_array_equal(fires.terrain[0].sel(band=band), tile[band])


def test_terrain_of_a_gzip_file_and_of_the_one_behind_it(root, tmp_path):
    source = read_ndws("tiles", NdwsSettings(root=root))
    for number in (2, 3, 0, 1, 0):  # also against the order
        seed = {0: 0, 1: 1, 2: 1, 3: 2}[number]
        values = source.terrain(source.fires[number].window)
        np.testing.assert_array_equal(values[0], make_tile(seed)["elevation"])


def test_wind_blows_from_its_direction():
    """Half the tile 10 m/s from the west, half 10 m/s from the south: 5 m/s to the east and 5 m/s to the north."""
    direction = np.full((2, 4), 270, "float32")
    direction[1] = 180
    speed, warmest = (np.full((2, 4), value, "float32") for value in (10, 300))
    np.testing.assert_allclose(mean_wind(speed, direction, warmest), [5, 5], atol=1e-5)


def test_wind_that_cannot_be_true_does_not_count():
    speed = np.array([[10, -3, 50, np.nan]], "float32")
    direction = np.array([[360, 90, -505826, 90]], "float32")
    warmest = np.full((1, 4), 300, "float32")
    np.testing.assert_allclose(mean_wind(speed, direction, warmest), [0, -10], atol=1e-5)
    assert np.isnan(mean_wind(speed, direction, 0 * warmest)).all()


def test_wind_of_pixels_without_weather_does_not_count(tmp_path):
    """Where its weather ends the source holds zeros, so a temperature of 0 K too."""
    half = np.zeros((64, 64), "float32")
    half[:, :32] = 1
    tile = make_tile(th=270 * half, vs=8 * half, tmmx=300 * half)
    write_tiles(tmp_path / f"{PREFIX}_train_00.tfrecord", [tile])
    np.testing.assert_allclose(read_ndws("tiles", NdwsSettings(root=tmp_path)).fires[0].weather[0], [8, 0], atol=1e-5)


def test_wind_of_the_second_day_is_unknown(root, tmp_path):
    fires = _ingest(root, tmp_path)
    tile = make_tile(0)
    np.testing.assert_allclose(fires.weather[0], mean_wind(tile["vs"], tile["th"], tile["tmmx"]))
    assert np.isnan(fires.weather[1]).all()
    settings = NdwsSettings(root=root)
    assert (settings.foresees_wind, settings.tells_target_wind) == (False, False)


def test_settings_tell_what_the_store_holds(root, tmp_path):
    fires, settings = _ingest(root, tmp_path), NdwsSettings(root=root)
    assert dict(zip(fires.band.values.tolist(), fires.band_unit.values.tolist(), strict=True)) == settings.band_units
    assert fires.attrs["seconds_per_frame"] == 60 * settings.minutes_per_frame
    assert (fires.attrs["fire_kind"] == "cumulative") == settings.stays_burned


def test_tiles_of_one_place_have_one_key(root, tmp_path):
    fires = _ingest(root, tmp_path)
    keys = dict(zip(fires.fire_id.values.tolist(), twin_keys(fires), strict=True))
    assert keys["train_00_000001"] == keys["eval_00_000000"]
    assert len(set(keys.values())) == 3


def test_equal_data_elsewhere_make_an_equal_store(root, tmp_path):
    (tmp_path / "b").mkdir()
    first = _ingest(root, tmp_path)
    second = _ingest(root.rename(tmp_path / "elsewhere"), tmp_path / "b")
    assert first.attrs["content_digest"] == second.attrs["content_digest"]
    assert first.attrs["provenance"] == second.attrs["provenance"]


def _damage(root):
    path = root / f"{PREFIX}_train_00.tfrecord"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)


def test_damage_stops_or_is_left_out_and_listed(root, tmp_path, caplog):
    _damage(root)
    with pytest.raises(InputError, match=r"(?s)train_00\.tfrecord, record 0.*wrong CRC-32C.*on_error: skip"):
        _ingest(root, tmp_path)
    with caplog.at_level(logging.WARNING):
        fires = _ingest(root, tmp_path, on_error="skip")
    assert fires.fire_id.values.tolist() == ["train_00_000001", "eval_00_000000", "test_00_000000"]
    assert fires.attrs["fires_skipped"] == [{"fire_id": "train_00_000000", "reason": "a wrong CRC-32C of its data"}]
    assert "train_00_000000 is skipped" in caplog.text
    np.testing.assert_array_equal(fires.terrain[0, 0], make_tile(1)["elevation"])


def test_truncated_file_stops_or_what_it_lost_is_left_out_and_listed(root, tmp_path):
    path = root / f"{PREFIX}_train_00.tfrecord"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match=r"(?s)train_00\.tfrecord, record 1.*ends after.*on_error: skip"):
        _ingest(root, tmp_path)
    fires = _ingest(root, tmp_path, on_error="skip")
    assert fires.fire_id.values.tolist() == ["train_00_000000", "eval_00_000000", "test_00_000000"]
    (skipped,) = fires.attrs["fires_skipped"]
    assert skipped["fire_id"] == "train_00_000001"
    assert "ends after" in skipped["reason"]
    np.testing.assert_array_equal(fires.terrain[0, 0], make_tile(0)["elevation"])


def test_tiles_that_lack_are_said(root, tmp_path, caplog):
    """A file cut between two records looks whole; only the number of tiles tells."""
    with caplog.at_level(logging.WARNING):
        _ingest(root, tmp_path)
    assert "2 tiles of 'train'; 14979 were published" in caplog.text
    (root / f"{PREFIX}_test_00.tfrecord").unlink()
    with caplog.at_level(logging.WARNING):
        _ingest(root, tmp_path)
    assert "0 tiles of 'test'; 1689 were published" in caplog.text


def test_nothing_that_can_be_read(tmp_path):
    (tmp_path / f"{PREFIX}_train_00.tfrecord").touch()
    with pytest.raises(InputError, match=r"(?s)1 files without a tile.*at least one tile"):
        read_ndws("tiles", NdwsSettings(root=tmp_path))


def test_file_that_changes_between_two_readings(root):
    source = read_ndws("tiles", NdwsSettings(root=root))
    _damage(root)
    with pytest.raises(InputError, match=r"(?s)no train_00_000000 any more.*run it again"):
        list(source.frames)


def test_twelve_genuine_tiles(tmp_path):
    """Kept as arrays by their second-hand source, in the order below; written as records and read again."""
    if not SHARED.is_dir():
        pytest.skip(f"no data at {SHARED}")
    order = ["elevation", "NDVI", "erc", "pdsi", "population", "pr", "sph", "th", "tmmn", "tmmx", "vs", PREVIOUS_FIRE]
    tiles = []
    for path in sorted(SHARED.glob("*/*.npz")):
        with np.load(path) as arrays:
            tiles.append(dict(zip(order, arrays["inputs"], strict=True)) | {FIRE: arrays["targets"][0].astype("f4")})
    write_tiles(tmp_path / f"{PREFIX}_train_00.tfrecord", tiles)
    fires = _ingest(tmp_path, tmp_path)
    assert fires.sizes["fire"] == 12
    assert (fires.burned[::2] == 1).any(("y", "x")).all()
    np.testing.assert_array_equal((fires.burned[::2] == 255).sum(), sum((t[PREVIOUS_FIRE] < 0).sum() for t in tiles))
    assert np.hypot(*fires.weather[::2].values.T).max() < 11
    least, most = (fires.conditions[::2].sel(condition=name).values for name in ("tmmn", "tmmx"))
    assert ((least < most) | (most == 0)).all()
    assert (most == 0).sum() == 36  # at a coast: where the source's weather ends it holds zeros
    inputs = np.stack([ndws_inputs(tile) for tile in tiles])
    assert np.abs(inputs[:, :11].mean((2, 3))).max() < 4  # standardised: no channel is in the place of another
