"""All files of a forecast: complete, of one map, named by a rule; and whole or not at all."""

import json
import os
import resource
import signal
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio

from emberformer.errors import InputError
from emberformer.outputs import writing
from emberformer.outputs.file_names import file_name
from emberformer.outputs.fire_forecast import open_fire_forecast
from emberformer.outputs.grid import cell_areas, grid_of
from emberformer.outputs.writing import FORMATS, check_wanted, possible_formats, write_outputs
from tests.outputs.forecasts import KINDS, example

FILES = ("geotiff", "percent", "arrival_time", "geopackage", "geojson", "netcdf")  # no pictures: those take long


def test_everything_is_written_and_belongs_together(tmp_path):
    files = write_outputs(example("one lead"), tmp_path / "out", elevation=np.zeros((24, 30)))
    rasters, vectors = {"probability_lead01", "percent_lead01", "burned", "arrival_time"}, {"perimeters", "isochrones"}
    assert set(files) == rasters | vectors | {"vectors", "layers", "forecast", "map", "animation", "video", "summary"}
    assert all(path.stat().st_size > 0 for path in files.values())
    assert all(files[content].with_suffix(".qml").is_file() for content in rasters)
    listed = json.loads(files["summary"].read_text())["files"]
    assert listed == sorted(path.name for path in (tmp_path / "out").iterdir())


@pytest.mark.parametrize("kind", KINDS)
def test_all_files_show_one_map(kind, tmp_path):
    forecast = example(kind)
    formats = [name for name in FILES if name in possible_formats(forecast)]
    files = write_outputs(forecast, tmp_path / "out", formats=formats)
    grid = grid_of(forecast)
    hectares = cell_areas(grid) / 1e4
    summary = json.loads(files["summary"].read_text())
    perimeters = geopandas.read_file(files["vectors"], layer="perimeters")
    for lead in summary["leads"]:
        with rasterio.open(files[f"probability_lead{lead['lead']:02d}"]) as raster:
            probability = raster.read(1)
            assert raster.transform == grid.transform
        assert lead["expected_area_ha"] == pytest.approx(float(np.nansum(probability * hectares)))
        for p, area in lead["area_ha"].items():
            of_raster = float(hectares[probability >= np.float32(p)].sum())
            rows = perimeters[(perimeters.lead == lead["lead"]) & (perimeters.probability == float(p))]
            assert area == pytest.approx(of_raster, rel=1e-9)
            assert rows.area_ha.sum() == pytest.approx(of_raster, rel=1e-9)
    assert open_fire_forecast(files["forecast"]).equals(forecast)
    assert ("geojson" in summary["formats_left_out"]) == (kind == "no CRS")
    assert summary["provenance"] == forecast.attrs["provenance"]


def test_headline_figures_by_hand(tmp_path):
    """Three pixels of 30 m burned, one at 0.5 and one at 0.25: 0.27 ha now, 3.75 pixels expected."""
    forecast = example("ordinary").isel(y=slice(0, 2), x=slice(0, 3), lead=[0])
    forecast["burned"][:] = [[1, 1, 1], [0, 0, 0]]
    forecast["probability"][0] = [[1, 1, 1], [0.5, 0.25, np.nan]]
    files = write_outputs(forecast, tmp_path / "out", formats=["geotiff"], probabilities=[0.5, 0.1])
    summary = json.loads(files["summary"].read_text())
    (lead,) = summary["leads"]
    assert summary["area_now_ha"] == pytest.approx(0.27)
    assert lead["expected_area_ha"] == pytest.approx(0.3375)
    assert lead["expected_growth_ha"] == pytest.approx(0.0675)
    assert lead["area_ha"] == {"0.5": pytest.approx(0.36), "0.1": pytest.approx(0.45)}
    assert lead["unknown_area_ha"] == pytest.approx(0.09)
    assert lead["wind_towards_east_north_m_s"] == [3, 4]


def test_names_say_when_which_fire_and_what():
    forecast = example("ordinary")
    assert file_name(forecast, "arrival_time", "tif") == "20230330_1230Z_Sequence001_arrival_time.tif"
    named = file_name(forecast.assign_attrs(fire_id="Río Maipo / 2"), "probability", "tif", 2)
    assert named == "20230330_1230Z_RioMaipo2_probability_lead02_20230330_1330Z.tif"


def test_a_forecast_is_replaced_but_other_files_are_not(tmp_path):
    out = tmp_path / "out"
    write_outputs(example("ordinary"), out, formats=FILES)
    (out / f"{next(out.glob('*burned.tif')).name}.aux.xml").write_text("statistics of QGIS")
    write_outputs(example("one lead"), out, formats=["geotiff"])
    assert not list(out.glob("*lead02*"))
    (out / "notes.txt").write_text("of the analyst")
    with pytest.raises(InputError, match=r"such as notes\.txt"):
        write_outputs(example("ordinary"), out, formats=["geotiff"])
    assert (out / "notes.txt").read_text() == "of the analyst"
    with pytest.raises(InputError, match="a file"):
        write_outputs(example("ordinary"), out / "notes.txt", formats=["geotiff"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"formats": ["shapefile"]}, "shapefile"),
        ({"probabilities": [0.0]}, "above 0"),
        ({"threshold": 2.0}, "above 0"),
    ],
)
def test_what_does_not_exist_is_refused_before_anything_is_written(settings, message, tmp_path):
    with pytest.raises(InputError, match=message):
        write_outputs(example("ordinary"), tmp_path / "out", **settings)
    assert not list(tmp_path.iterdir())


def test_geojson_without_a_crs_is_refused_if_it_is_asked_for(tmp_path):
    with pytest.raises(InputError, match="without a CRS"):
        write_outputs(example("no CRS"), tmp_path / "out", formats=["geojson"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("folder", [".", "..", "../out"])
def test_the_folder_that_one_is_in_is_not_replaced(tmp_path, monkeypatch, folder):
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")
    with pytest.raises(InputError, match="that you are in"):
        check_wanted(Path(folder), (), None)


def in_a_child(limit: int, folder: Path, name: str) -> int:
    """Write in a process whose files cannot grow beyond `limit` bytes, as if the disk were full; its exit status."""
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            write_outputs(example("ordinary"), folder, formats=[name])
        except BaseException:
            os._exit(3)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "mp4"])
def test_a_full_disk_leaves_nothing_half_written(name, tmp_path):
    for limit in (100, 1500):
        assert in_a_child(limit, tmp_path / "out", name) == 3
        assert not list(tmp_path.iterdir())


def test_a_failure_or_a_kill_leaves_what_was_there(tmp_path, monkeypatch):
    out = tmp_path / "out"
    write_outputs(example("one lead"), out, formats=["geotiff"])
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    monkeypatch.setattr(writing.summary, "write_summary", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    child = os.fork()
    if child == 0:
        try:
            write_outputs(example("ordinary"), out, formats=["geotiff"])
        finally:
            os._exit(0)
    monkeypatch.undo()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    write_outputs(example("one lead"), out, formats=["geotiff"])  # clears what the killed one left beside it
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
