"""GeoTIFFs of hindcasts: a band a step, and none that a full disk cut off."""

import os
import resource

import numpy as np
import pytest
import rasterio

from emberformer.export import write_geotiffs
from emberformer.forecast_store import ForecastBlock, valid_times, write_forecasts
from tests.small_fires import small_fires

SIDE = 64


@pytest.fixture
def hindcast_of_two(tmp_path):
    """Fires with two forecasts each, of which one fire is a test fire; and the store."""
    fires = small_fires({name: [np.zeros((SIDE, SIDE), np.uint8)] * 3 for name in ("seen", "tested")})
    fires = fires.assign_coords({name: ("fire", [0, 5]) for name in ("window_row", "window_col")})
    fires = fires.assign_coords(ground_index=("fire", [0, 0]), crs_wkt=("ground", [""]))
    fires = fires.assign_coords(transform=(("ground", "coefficient"), [[30.0, 0.0, 1000.0, 0.0, -30.0, 9000.0]]))
    rng, init = np.random.default_rng(0), np.datetime64("2026-01-31T14:00:00")
    blocks = [
        ForecastBlock(name, split, step, init, valid_times(init, 1800, 2), rng.random((2, SIDE, SIDE), np.float32))
        for name, split in (("seen", "validation"), ("tested", "test"))
        for step in range(2)
    ]
    told = {"method": "m", "dataset": "d", "score_kind": "probability", "provenance": {}, "sees_target_wind": False}
    write_forecasts(tmp_path / "m.zarr", blocks, shape=(2, SIDE, SIDE), **told)
    return tmp_path / "m.zarr", fires, blocks


def test_a_band_a_step_of_test_fires(hindcast_of_two):
    store, fires, blocks = hindcast_of_two
    folder = store.with_suffix(".geotiff")
    (path,) = write_geotiffs(store, fires, folder)
    assert list(folder.iterdir()) == [path]
    with rasterio.open(path) as raster:
        np.testing.assert_array_equal(raster.read(), np.stack([block.probability[0] for block in blocks[2:]]))
        assert raster.transform * (0, 0) == (1150, 8850)
        assert raster.descriptions == ("step 0 to +1", "step 1 to +1")
        assert raster.tags(2)["valid_time"] == "2026-01-31T14:30:00"


def test_a_full_disk_leaves_the_files_before(hindcast_of_two):
    """In a process whose files cannot grow beyond some bytes."""
    store, fires, _ = hindcast_of_two
    folder = store.with_suffix(".geotiff")
    (path,) = write_geotiffs(store, fires, folder)
    before = path.read_bytes()
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, len(before) // 2))
        try:
            write_geotiffs(store, fires, folder)
        except OSError:
            os._exit(3)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
    assert path.read_bytes() == before
    assert [one.name for one in store.parent.iterdir() if "partial" in one.name] == []
