"""Members of a new fire: the same as a data set's own, and files from the command line."""

import geopandas
import numpy as np
import pytest
from rasterio import Affine
from typer.testing import CliRunner

from emberformer.cli import app
from emberformer.data.fires import open_fires
from emberformer.ensemble.checkpoint import load_ensemble
from emberformer.ensemble.hindcast import hindcast_ensemble
from emberformer.ensemble.training import train_ensemble
from emberformer.errors import InputError
from emberformer.forecast import LoadedModel, ensemble_of, forecast_fire
from emberformer.hindcast import hindcast
from emberformer.member_store import open_members
from emberformer.settings import ForecastSettings
from emberformer.training import train
from tests.new_fires import source_of, winds_of, write_frames, write_raster
from tests.stores import ENSEMBLE, prepare, tiny_experiment

TOLD = ForecastSettings(leads=2)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    settings, layout = tiny_experiment(
        tmp_path_factory.mktemp("futures"), model={"lead_times": 2}, forecast={"leads": 2}, ensemble=ENSEMBLE
    )
    prepare(settings, layout)
    network = LoadedModel.load(train(settings, layout, 0, "cpu"))
    hindcast(settings, layout, 0, "tiny", "cpu", learner_leads=2)
    return settings, layout, network, train_ensemble(settings, layout, 0, "cpu")


def test_a_new_fire_has_the_members_of_one_of_a_data_set(trained):
    settings, layout, network, path = trained
    fires = open_fires(layout.fires("tiny"))
    store = hindcast_ensemble(settings, layout, 0, "tiny", "cpu").with_suffix(".members.zarr")
    known, ensemble = open_members(store).load(), load_ensemble(path)
    chosen = np.flatnonzero((known.split == "test") & (known.init_step < 3))[:4]
    assert len(chosen) == 4
    for k in chosen:
        fire_id, step = str(known.fire_id.values[k]), int(known.init_step[k])
        source = source_of(fires, fire_id, step + 1)
        _, members = forecast_fire(network, source, winds_of(fires, fire_id, step, 2), TOLD, "cpu", ensemble)
        assert members is not None
        assert (members.arrival_lead != known.arrival_lead[k].values).mean() < 1e-3
        assert np.allclose(members.burn_probability, known.burn_probability[k], atol=1e-3, equal_nan=True)


def test_an_ensemble_of_another_network_or_of_other_leads_is_refused(trained, tmp_path):
    _, _, network, path = trained
    with pytest.raises(InputError, match="use --leads 2"):
        ensemble_of(network, path, 3)
    copy = tmp_path / "model.ckpt"
    copy.write_bytes(network.checkpoint.read_bytes() + b"\0")
    other = LoadedModel(copy, network.model, network.sizes, network.settings, network.about)
    with pytest.raises(InputError, match="another network"):
        ensemble_of(other, path, 2)


def test_the_command_writes_members_beside_the_forecast(trained, tmp_path):
    _, layout, network, path = trained
    fires = open_fires(layout.fires("tiny"))
    place = {"transform": Affine(*fires["transform"].values[0]), "crs": str(fires.crs_wkt.values[0])}
    write_frames(tmp_path / "burned", fires.burned[:3].values, **place)
    terrain = []
    for number, band in enumerate(map(str, fires.band.values)):
        write_raster(tmp_path / f"{band}.tif", fires.terrain[0, number].values, **place)
        terrain += ["--terrain", f"{band}={tmp_path / f'{band}.tif'}"]
    out = tmp_path / "out"
    run = CliRunner().invoke(
        app,
        ["forecast", "--model", str(network.checkpoint), "--ensemble", str(path), "--perimeters",
         str(tmp_path / "burned"), "--wind-speed", "5", "--wind-direction", "270", "--leads", "2", "--out", str(out),
         "--format", "geopackage", "--device", "cpu", *terrain],
        catch_exceptions=False,
    )  # fmt: skip
    assert run.exit_code == 0, run.output
    (package,) = (tmp_path / "out_members").glob("*members*.gpkg")
    perimeters = geopandas.read_file(package, layer="members")
    assert set(perimeters.member) == {1, 2, 3}
    assert set(perimeters.lead) == {1, 2}
    assert len(list((tmp_path / "out_members").glob("*arrival_p*.tif"))) == 3
    assert len(list((tmp_path / "out_members").glob("*burn_probability*.tif"))) == 2
