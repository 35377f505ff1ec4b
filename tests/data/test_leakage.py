import json

import numpy as np
import pyproj
import pytest
import xarray as xr
from typer.testing import CliRunner

from emberformer.cli import app
from emberformer.data.fires import open_fires
from emberformer.data.leakage import audit, equal_content, refuse_leaks, shared_ground, twin_grounds
from emberformer.data.reading import ingest
from emberformer.errors import InputError
from emberformer.layout import Layout
from emberformer.settings import Settings
from emberformer.training import begin_training
from tests.small_fires import small_fires
from tests.stores import save_settings
from tests.wsts_files import dates_from, made_days, write_geotiffs

UTM = pyproj.CRS.from_epsg(32719).to_wkt("WKT1_GDAL")
EMPTY = np.zeros((4, 6), np.uint8)


def placed(corners: dict[str, tuple[float, float]], crs: str = "", terrain=None, digests="") -> xr.Dataset:
    """Fires of one frame, each on a ground of its own with its upper left corner at map coordinates (x, y)."""
    fires = small_fires({name: [EMPTY] for name in corners})
    count = len(corners)
    own = np.random.default_rng(int(sum(map(sum, corners.values())))).random((count, 1, 4, 6))
    values = own if terrain is None else terrain
    fires = fires.drop_vars(["crs_wkt", "transform", "terrain", "band"]).assign_coords(
        band=np.array(["elevation"], "T"),
        ground_index=("fire", np.arange(count)),
        terrain_index=("fire", np.arange(count)),
        window_row=("fire", np.zeros(count, int)),
        window_col=("fire", np.zeros(count, int)),
        crs_wkt=("ground", np.array([crs] * count, "T")),
        transform=(("ground", "coefficient"), [[30, 0, x, 0, -30, y] for x, y in corners.values()]),
        frame_digest=("frame", np.array(list(digests or map(str, range(count))), "T")),
        terrain_digest=("terrain", np.array([str(of.tobytes())[-40:] for of in values], "T")),
    )
    return fires.assign(terrain=(("terrain", "band", "y", "x"), np.asarray(values, np.float32)))


def test_windows_are_compared_on_the_map():
    """4 x 6 pixels of 30 m: two columns and one row are shared, 2 of 24; another CRS shares nothing."""
    fires = placed({"a": (0, 0), "b": (120, 90)}, UTM)
    split = {"d": {"a": "test", "b": "train"}}
    assert shared_ground({"d": fires}, split) == pytest.approx(2 / 24)
    other = placed({"b": (0, 0)}, pyproj.CRS.from_epsg(32720).to_wkt("WKT1_GDAL"))
    apart = {"d": fires, "e": other}
    assert shared_ground(apart, {"d": {"a": "test"}, "e": {"b": "train"}}) == 0
    written = {"d": fires, "e": placed({"b": (120, 90)}, pyproj.CRS.from_epsg(32719).to_wkt("WKT1_ESRI"))}
    assert shared_ground(written, {"d": {"a": "test"}, "e": {"b": "train"}}) == pytest.approx(2 / 24)
    unknown = placed({"a": (0, 0), "b": (0, 0)})
    assert shared_ground({"d": unknown}, split) == 0
    assert np.isnan(shared_ground({"d": fires}, {"d": {"a": "test"}}))


def test_held_out_ground_that_training_windows_cover_is_a_leak():
    known = placed({"a": (0, 0)}, UTM, digests="p")
    held_out = placed({"b": (120, 90)}, UTM, digests="q")
    fires, split = {"known": known, "new": held_out}, {"known": {"a": "train"}, "new": {"b": "test"}}
    (line,) = audit(fires, split, held_out=("new",))
    assert "8 % of the ground of new, held out" in line
    assert audit(fires, split) == []  # then it is only another data set


def test_one_terrain_under_two_names():
    hills = np.random.default_rng(0).random((3, 1, 4, 6))
    hills[2] = hills[0]
    fires = {"d": placed({"a": (0, 0), "b": (500, 0), "c": (900, 0)}, terrain=hills)}
    assert twin_grounds(fires, {"d": {"a": "train", "b": "test", "c": "test"}}) == [(("d", "a"), ("d", "c"))]
    assert twin_grounds(fires, {"d": {"a": "train", "b": "test", "c": "train"}}) == []
    hills[[0, 2]] = np.nan  # no data says nothing
    fires = {"d": placed({"a": (0, 0), "b": (500, 0), "c": (900, 0)}, terrain=hills)}
    assert twin_grounds(fires, {"d": {"a": "train", "b": "test", "c": "test"}}) == []


def test_many_fires_of_one_landscape_share_its_ground_without_a_leak():
    fires = small_fires({"a": [EMPTY], "b": [EMPTY]})
    fires = fires.assign_coords(
        frame_digest=("frame", np.array(["p", "q"], "T")), window_row=("fire", [0, 0]), window_col=("fire", [0, 0])
    )
    split = {"d": {"a": "train", "b": "test"}}
    assert audit({"d": fires}, split) == []
    assert shared_ground({"d": fires}, split) == 1
    (line,) = audit({"d": fires}, split, "block")
    assert "100 % of the ground of the test of d" in line


def test_small_fires_that_look_alike_on_two_terrains_are_two():
    hills = np.random.default_rng(0).random((2, 1, 4, 6))
    split = {"d": {"a": "train", "b": "test"}}
    alike = {"d": placed({"a": (0, 0), "b": (500, 0)}, terrain=hills, digests="pp")}
    assert equal_content(alike, split) == []
    hills[1] = hills[0]
    same = {"d": placed({"a": (0, 0), "b": (500, 0)}, terrain=hills, digests="pp")}
    assert equal_content(same, split) == [(("d", "a"), ("d", "b"))]


def test_the_list_of_an_error_is_short():
    refuse_leaks("here", [])
    with pytest.raises(InputError, match=r"(?s)here.*12 leaks: n 0; .*n 9 \.\.\. and 2 more.*leakage: report"):
        refuse_leaks("here", [f"n {k}" for k in range(12)])


def test_the_command_stops_with_a_list_unless_told_otherwise(tmp_path):
    """Fires of four years, of which two of the last two burn differently on the same elevation."""
    for number in range(4):
        days = made_days(3, seed=number)
        days[:, 14] = made_days(1, seed=number // 2)[0, 14]
        year = 2018 + number
        write_geotiffs(tmp_path / "raw", f"{year}/fire_{number}", dates_from(f"{year}-06-01", 3), days)
    content = {
        "name": "twins", "results": str(tmp_path / "results"), "split": {"by": "year", "fold": 0},
        "datasets": {"made": {"source": "wsts", "root": str(tmp_path / "raw")}}, "features": {"weights": "random"},
    }  # fmt: skip
    settings = Settings.model_validate(content)
    config = save_settings(settings, tmp_path / "config.yaml")
    ingest("made", settings.datasets["made"], tmp_path / "results" / "made" / "fires.zarr")
    assert open_fires(tmp_path / "results" / "made" / "fires.zarr").sizes["fire"] == 4
    stopped = CliRunner().invoke(app, ["split", "--config", str(config)])
    assert isinstance(stopped.exception, InputError)
    assert "burn on the same terrain, under two names" in str(stopped.exception)
    assert not list((tmp_path / "results").glob("splits/*"))
    told = Settings.model_validate(content | {"split": content["split"] | {"leakage": "report"}})
    done = CliRunner().invoke(app, ["split", "--config", str(save_settings(told, tmp_path / "told.yaml"))])
    assert done.exit_code == 0
    (path,) = (tmp_path / "results").glob("splits/*.json")
    assert "made/2020_fire_2 and made/2021_fire_3" in json.loads(path.read_text())["leaks"][0]
    with pytest.raises(InputError, match=r"(?s)splits.*burn on the same terrain.*leakage: report"):
        begin_training(settings, Layout(settings), 0, "cpu")  # the leaks are not written off by stopping again
