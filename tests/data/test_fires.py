"""The fires store: what is written comes back, on the right place of the map, and damage does not read as data."""

import json
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from emberformer.data.fires import (
    Band,
    Fire,
    FireSource,
    Frame,
    Ground,
    Window,
    fire_crs,
    fire_on_map,
    fire_position,
    fire_rows,
    fire_transform,
    observed,
    open_fires,
)
from emberformer.data.fires_writing import write_fires
from emberformer.errors import InputError

SHAPE = (3, 4)
LANDSCAPE = np.arange(2 * 8 * 9, dtype="float32").reshape(2, 8, 9)
WINDOWS = (Window(0, 0, *SHAPE), Window(5, 2, *SHAPE), Window(0, 0, *SHAPE))
CRS = 'PROJCS["local",GEOGCS["g",DATUM["d",SPHEROID["s",6378137,298.25]],PRIMEM["Greenwich",0],UNIT["degree",0.01745]],'
CRS += 'PROJECTION["Transverse_Mercator"],PARAMETER["latitude_of_origin",0],PARAMETER["central_meridian",0],'
CRS += 'PARAMETER["scale_factor",1],PARAMETER["false_easting",0],PARAMETER["false_northing",0],UNIT["metre",1]]'
TRANSFORM = (30.0, 0.0, 1000.0, 0.0, -30.0, 9000.0)


def cut_landscape(window):
    rows, columns = window.row + window.height, window.column + window.width
    return LANDSCAPE[:, window.row : rows, window.column : columns]


def _area(pixels):
    return (np.arange(12).reshape(SHAPE) < pixels).astype("uint8")


def _source(areas=((1, 4), (2, 3, 9), (1, 2)), isochrones=None, **changes):
    """Three fires whose frames have the first n pixels burned; isochrones likewise, by default those of the frames."""
    targets = areas if isochrones is None else isochrones
    fires = tuple(
        Fire(
            f"sequence_{number}",
            window,
            np.full((len(frames), 3), number, "float32"),
            np.datetime64("2023-03-30T12:00", "s") + np.arange(len(frames)) * 1800,
        )
        for number, (window, frames) in enumerate(zip(WINDOWS, areas, strict=False), 1)
    )
    frames = [
        Frame(_area(burned), _area(target))
        for of_fire, of_target in zip(areas, targets, strict=True)
        for burned, target in zip(of_fire, of_target, strict=True)
    ]
    source = FireSource(
        dataset="land",
        fires=fires,
        frames=frames,
        bands=(Band("elevation", "continuous", "m"), Band("fuel_model", "categorical", "1")),
        grounds=(Ground(CRS, TRANSFORM, cut_landscape),),
        weather_variables={"wind_u": "m s-1", "wind_v": "m s-1", "TMP": ""},
        cell_m=30.0,
        seconds_per_frame=1800.0,
        fires_skipped={"sequence_9": "1 frame(s)"},
        provenance={"reader": "hand"},
    )
    return replace(source, **changes)


def _write(path, source):
    write_fires(path, source)
    return open_fires(path)


@pytest.fixture
def fires(tmp_path):
    return _write(tmp_path / "fires.zarr", _source())


def test_everything_comes_back(fires):
    assert fires.burned.dims == ("frame", "y", "x")
    assert fires.burned.dtype == np.uint8
    np.testing.assert_array_equal(fires.burned.sum(("y", "x")), [1, 4, 2, 3, 9, 1, 2])
    np.testing.assert_array_equal(fires.fire_index, [0, 0, 1, 1, 1, 2, 2])
    np.testing.assert_array_equal(fires.step, [0, 1, 0, 1, 2, 0, 1])
    np.testing.assert_array_equal(fires.row_start, [0, 2, 5])
    np.testing.assert_array_equal(fires.row_size, [2, 3, 2])
    np.testing.assert_array_equal(fires.weather[:, 2], [1, 1, 2, 2, 2, 3, 3])
    assert fires.valid_time.dtype == "datetime64[s]"
    assert str(fires.valid_time.values[3]) == "2023-03-30T12:30:00"
    assert fires.fire_id.values.tolist() == ["sequence_1", "sequence_2", "sequence_3"]
    assert fires.band.values.tolist() == ["elevation", "fuel_model"]
    assert fires.weather_unit.values.tolist() == ["m s-1", "m s-1", ""]
    assert fires.attrs["shrinkage_check"] == {"steps": 0, "pixels": 0}  # a new fire is not a step of the one before
    assert fires.attrs["fires_skipped"] == [{"fire_id": "sequence_9", "reason": "1 frame(s)"}]
    assert fires["transform"].values.tolist() == [list(TRANSFORM)]


def test_bands_and_weather_are_selected_by_name(fires):
    assert fires.terrain.sel(band="fuel_model").dims == ("terrain", "y", "x")
    assert float(fires.weather.sel(weather_variable="TMP")[2]) == 2


def test_fires_of_one_window_share_its_terrain(fires):
    np.testing.assert_array_equal(fires.terrain_index, [0, 1, 0])
    np.testing.assert_array_equal(fires.terrain[1], LANDSCAPE[:, 5:8, 2:6])


def test_chunks_are_frames_and_checksummed(tmp_path, fires):
    burned = json.loads((tmp_path / "fires.zarr" / "burned" / "zarr.json").read_text())
    (sharding,) = burned["codecs"]
    assert sharding["configuration"]["chunk_shape"] == [1, *SHAPE]
    zstd = sharding["configuration"]["codecs"][-1]
    assert (zstd["name"], zstd["configuration"]["checksum"]) == ("zstd", True)


def test_lost_frames_read_as_unknown_and_lost_terrain_as_nan(tmp_path, fires):
    for shard in [
        *(tmp_path / "fires.zarr").glob("burned/c/*/*/*"),
        *(tmp_path / "fires.zarr").glob("terrain/c/*/*/*/*"),
    ]:
        shard.unlink()
    damaged = open_fires(tmp_path / "fires.zarr")
    assert (damaged.burned == 255).all()
    assert np.isnan(damaged.terrain).all()


def test_flipped_bit_is_noticed(tmp_path, fires):
    (shard,) = (tmp_path / "fires.zarr" / "burned").glob("c/*/*/*")
    content = bytearray(shard.read_bytes())
    content[12] ^= 1
    shard.write_bytes(content)
    with pytest.raises(Exception, match=r"(?i)checksum|corrupt|decompress|error"):
        open_fires(tmp_path / "fires.zarr").burned.values  # noqa: B018


def test_a_source_that_gives_too_few_frames_is_refused(tmp_path):
    source = _source()
    with pytest.raises(InputError, match=r"(?s)data set 'land'.*6 frames.*7, as its fires have times"):
        write_fires(tmp_path / "fires.zarr", replace(source, frames=list(source.frames)[:-1]))
    assert not (tmp_path / "fires.zarr").exists()


def test_equal_sources_make_equal_root_metadata(tmp_path, fires):
    before = (tmp_path / "fires.zarr" / "zarr.json").read_bytes()
    write_fires(tmp_path / "fires.zarr", _source())
    assert (tmp_path / "fires.zarr" / "zarr.json").read_bytes() == before


@pytest.mark.parametrize(
    ("changed", "fire", "frames"),
    [
        (_source(areas=((1, 4), (2, 5, 9), (1, 2))), [1], [3]),  # one frame
        (_source(isochrones=((1, 4), (2, 5, 9), (1, 2))), [1], []),  # its isochrone
        (_source(areas=((1, 4), (2, 3, 9))), None, None),  # one fire less
    ],
)
def test_digests_change_where_the_content_does(tmp_path, fires, changed, fire, frames):
    other = _write(tmp_path / "other.zarr", changed)
    assert other.attrs["content_digest"] != fires.attrs["content_digest"]
    if fire is None:
        assert other.fire_digest.values.tolist() == fires.fire_digest.values.tolist()[:2]
    else:
        assert np.flatnonzero(other.fire_digest.values != fires.fire_digest.values).tolist() == fire
        assert np.flatnonzero(other.frame_digest.values != fires.frame_digest.values).tolist() == frames


def test_weather_window_and_time_change_only_their_fire(tmp_path, fires):
    first, second, third = _source().fires
    for change in (
        {"weather": second.weather + 1},
        {"window": Window(4, 2, *SHAPE)},
        {"valid_time": second.valid_time + 60},
    ):
        other = _write(tmp_path / "other.zarr", _source(fires=(first, replace(second, **change), third)))
        assert np.flatnonzero(other.fire_digest.values != fires.fire_digest.values).tolist() == [1]
        assert other.frame_digest.values.tolist() == fires.frame_digest.values.tolist()


def test_more_frames_than_a_shard(tmp_path, monkeypatch):
    monkeypatch.setattr("emberformer.data.fires_writing.SHARD_FRAMES", 3)
    monkeypatch.setattr("emberformer.data.fires_writing.SHARD_BYTES", 100)  # one window of terrain a shard
    sharded = _write(tmp_path / "sharded.zarr", _source(isochrones=((1, 5), (2, 4, 10), (1, 3))))
    assert len(list((tmp_path / "sharded.zarr" / "burned").glob("c/*/*/*"))) == 3
    monkeypatch.undo()
    whole = _write(tmp_path / "whole.zarr", _source(isochrones=((1, 5), (2, 4, 10), (1, 3))))
    xr.testing.assert_identical(sharded.load(), whole.load())


def test_failure_leaves_the_old_store(tmp_path, fires):
    def breaking():
        yield Frame(_area(1), _area(1))
        raise InputError("fire_001.png", "a broken file", "a whole one", "repair it")

    with pytest.raises(InputError, match=r"fire_001\.png"):
        write_fires(tmp_path / "fires.zarr", _source(frames=breaking()))
    assert [path.name for path in tmp_path.iterdir()] == ["fires.zarr"]
    np.testing.assert_array_equal(open_fires(tmp_path / "fires.zarr").burned, fires.burned)


def test_target_is_the_burned_area_where_isochrones_add_nothing(fires):
    assert fires.attrs["target_kind"] == "same_as_burned"
    assert "isochrone" not in fires
    np.testing.assert_array_equal(observed(fires, 3), _area(3))


def test_target_is_the_cumulative_isochrone_and_what_burned_before(tmp_path):
    fires = _write(tmp_path / "a.zarr", _source(isochrones=((2, 3), (3, 1, 12), (2, 3))))
    assert fires.attrs["target_kind"] == "cumulative"
    assert fires.attrs["isochrone_check"]["target_equal"] == 0
    assert [int(observed(fires, row).sum()) for row in range(7)] == [2, 3, 3, 2, 12, 2, 3]  # row 3: 2 had burned before


def test_target_is_the_burned_area_where_isochrones_are_rings(tmp_path):
    rings = [
        Frame(_area(n), _area(n) - _area(before))
        for n, before in [(1, 0), (4, 1), (2, 0), (3, 2), (9, 3), (1, 0), (2, 1)]
    ]
    fires = _write(tmp_path / "a.zarr", _source(frames=rings))
    assert fires.attrs["target_kind"] == "increment"
    assert int(fires.isochrone[4].sum()) == 6
    np.testing.assert_array_equal(observed(fires, 4), _area(9))


def test_unknown_pixels_stay_unknown(tmp_path):
    frames = [Frame(_area(n), None) for n in (1, 4, 2, 3, 9, 1, 2)]
    frames[1].burned[2, 3] = 255
    fires = _write(tmp_path / "a.zarr", _source(frames=frames))
    assert observed(fires, 1)[2, 3] == 255
    assert fires.attrs["isochrone_check"] == {}


def test_fires_by_name(fires):
    assert fire_rows(fires, "sequence_2") == slice(2, 5)
    assert fire_position(fires, "sequence_3") == 2
    with pytest.raises(InputError, match=r"(?s)'sequence_4' of data set 'land'.*3 fires.*'sequence_1'"):
        fire_rows(fires, "sequence_4")


def test_missing_and_foreign_stores(tmp_path):
    with pytest.raises(InputError, match=r"(?s)none\.zarr.*no store.*emberformer ingest"):
        open_fires(tmp_path / "none.zarr")
    xr.Dataset({"a": ("b", [1])}).to_zarr(tmp_path / "other.zarr", zarr_format=3, consolidated=False)
    with pytest.raises(InputError, match=r"(?s)other\.zarr.*variables \['a'\].*content_digest"):
        open_fires(tmp_path / "other.zarr")


def test_fire_on_the_map_by_hand(fires):
    fire = fire_on_map(fires, "sequence_2")  # window: row 5, column 2 of a raster with its corner at (1000, 9000)
    np.testing.assert_array_equal(fire.x, [1075, 1105, 1135, 1165])
    np.testing.assert_array_equal(fire.y, [8835, 8805, 8775])
    assert dict(fire.burned.sizes) == {"frame": 3, "y": 3, "x": 4}
    assert fire.terrain.dims == ("band", "y", "x")
    assert fire.rio.transform() == fire_transform(fires, "sequence_2")
    assert fire.rio.bounds() == (1060, 8760, 1180, 8850)
    assert fire.burned.rio.crs.is_projected


def test_store_without_crs(tmp_path):
    fires = _write(tmp_path / "a.zarr", _source(grounds=(Ground("", TRANSFORM, cut_landscape),)))
    assert "spatial_ref" not in fires.coords
    assert fire_on_map(fires, "sequence_1").rio.crs is None


@settings(max_examples=50)
@given(
    corner=st.tuples(st.integers(0, 2000), st.integers(0, 2000)),
    pixel=st.tuples(st.integers(0, 399), st.integers(0, 399)),
    side=st.floats(0.5, 1000),
    origin=st.tuples(st.floats(-1e6, 1e6), st.floats(0, 1e7)),
)
def test_pixel_to_map_and_back(corner, pixel, side, origin):
    """The centre of a pixel of a window lies in that pixel of the landscape."""
    fires = xr.Dataset(
        coords={
            "fire_id": ("fire", np.array(["a"])),
            "window_row": ("fire", [corner[0]]),
            "window_col": ("fire", [corner[1]]),
            "ground_index": ("fire", [0]),
            "transform": (("ground", "coefficient"), [[side, 0.0, origin[0], 0.0, -side, origin[1]]]),
        },
        attrs={"dataset": "land"},
    )
    window = fire_transform(fires, "a")
    x, y = window.a * (pixel[1] + 0.5) + window.c, window.e * (pixel[0] + 0.5) + window.f
    row, column = (origin[1] - y) / side, (x - origin[0]) / side
    assert (np.floor(row), np.floor(column)) == (corner[0] + pixel[0], corner[1] + pixel[1])


def test_several_grounds_each_with_its_place_and_terrain(tmp_path):
    """Two grounds of one size: the same window of another ground is another terrain, at another place."""
    windows = [Window(0, 0, *SHAPE, ground) for ground in (0, 1)]
    grounds = (
        Ground(CRS, TRANSFORM, cut_landscape),
        Ground("", (30.0, 0.0, 0.0, 0.0, -30.0, 0.0), lambda window: -cut_landscape(window)),
    )
    source = _source(grounds=grounds)
    fires = tuple(
        replace(fire, window=window) for fire, window in zip(source.fires, [*windows, windows[0]], strict=True)
    )
    store = _write(tmp_path / "a.zarr", replace(source, fires=fires))
    assert store.terrain_index.values.tolist() == [0, 1, 0]
    np.testing.assert_array_equal(store.terrain[1], -store.terrain[0])
    assert [fire_crs(store, f"sequence_{n}") for n in (1, 2, 3)] == [CRS, "", CRS]
    assert [fire_transform(store, f"sequence_{n}").c for n in (1, 2)] == [1000, 0]
    assert fire_on_map(store, "sequence_1").rio.crs.is_projected
    assert fire_on_map(store, "sequence_2").rio.crs is None


def _with_conditions(changed=0.0):
    """Three fires with two conditions: the number of the frame, and of the fire; NaN at the upper left pixel."""
    source, number = _source(), 0
    frames = []
    for count, frame in enumerate(source.frames):
        values = np.stack([np.full(SHAPE, count), np.full(SHAPE, number)]).astype("float32")
        values[:, 0, 0] = np.nan
        frames.append(frame._replace(conditions=values + np.float32(changed)))
    bands = (Band("temperature", "continuous", "K"), Band("wind_direction", "angle", "deg"))
    return replace(source, frames=frames, conditions=bands)


def test_conditions_come_back_with_their_names(tmp_path, monkeypatch):
    monkeypatch.setattr("emberformer.data.fires_writing.SHARD_BYTES", 2 * 4 * 2 * 12)  # two frames a shard
    fires = _write(tmp_path / "a.zarr", _with_conditions())
    assert fires.conditions.dims == ("frame", "condition", "y", "x")
    np.testing.assert_array_equal(fires.conditions[:, 0, 1, 1], np.arange(7))
    assert np.isnan(fires.conditions[:, :, 0, 0]).all()
    assert fires.condition.values.tolist() == ["temperature", "wind_direction"]
    assert fires.condition_kind.values.tolist() == ["continuous", "angle"]
    assert fires.condition_unit.values.tolist() == ["K", "deg"]
    assert fire_on_map(fires, "sequence_2").conditions.sizes["frame"] == 3


def test_other_conditions_make_other_fires_of_the_same_frames(tmp_path):
    """Features follow the frames alone, so that new weather extracts nothing again."""
    stores = [_write(tmp_path / f"{k}.zarr", _with_conditions(changed)) for k, changed in enumerate((0.0, 1.0))]
    assert stores[0].frame_digest.equals(stores[1].frame_digest)
    assert not np.intersect1d(stores[0].fire_digest, stores[1].fire_digest).size
    assert stores[0].attrs["content_digest"] != stores[1].attrs["content_digest"]


def test_a_fire_that_goes_out_is_no_defect_where_frames_show_what_burns(tmp_path, caplog):
    areas = ((4, 1), (2, 3, 9), (1, 2))
    active = _write(tmp_path / "a.zarr", _source(areas, fire_kind="active"))
    assert active.attrs["fire_kind"] == "active"
    assert active.burned.attrs["long_name"] == "burning at this frame"
    assert "go out" not in caplog.text
    _write(tmp_path / "b.zarr", _source(areas))
    assert "go out" in caplog.text
