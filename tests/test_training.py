"""Training: keeps the best, goes on where it was stopped, is the same in two processes and whatever the batches."""

import errno
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import rasterio
import torch

from emberformer.calibration import Calibration
from emberformer.checkpoint import load_model, open_landscapes
from emberformer.data.fires import open_fires
from emberformer.data.split import read_split
from emberformer.errors import InputError
from emberformer.forecast_store import open_forecasts
from emberformer.hindcast import hindcast
from emberformer.layout import Layout
from emberformer.run import TrainingRun
from emberformer.settings import Settings
from emberformer.training import SpreadTraining, train
from tests.stores import TRAINING, prepare, save_settings, tiny_experiment

ENDS = SpreadTraining.on_validation_epoch_end


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two landscapes of different window sizes, trained together for two epochs."""
    settings, layout = tiny_experiment(tmp_path_factory.mktemp("trained"), {"tiny": (28, 42), "other": (50, 36)})
    prepare(settings, layout)
    return settings, layout, train(settings, layout, 0, "cpu")


def test_a_run_leaves_model_curve_and_settings(trained):
    settings, layout, path = trained
    model, _sizes, kept, about = load_model(path)
    assert kept == settings
    assert about["features"] == {n: layout.features(n).stem for n in ("tiny", "other")}
    curve = pd.read_csv(path.with_name("metrics.csv"))
    assert len(curve["val/new_ap"].dropna()) == 2
    assert len(curve["train/loss"].dropna()) == 2
    assert about["validation_new_ap"] == pytest.approx(curve["val/new_ap"].max(), abs=1e-6)
    best = curve.loc[curve["val/new_ap"].idxmax()]
    of_epoch = [best[f"val/calibration_{name}"] for name in Calibration._fields]
    assert list(about["calibration"]) == pytest.approx(of_epoch, rel=1e-6)
    assert not model.training
    assert math.isfinite(sum(p.sum().item() for p in model.parameters()))


def test_forecasts_cover_every_step_and_keep_what_burned(trained):
    settings, layout, _ = trained
    split = read_split(layout.split)
    for name in ("tiny", "other"):
        store = open_forecasts(hindcast(settings, layout, 0, name, "cpu"))
        fires = open_fires(layout.fires(name))
        wanted = {
            (str(f), step)
            for n, f in enumerate(fires.fire_id.values)
            for step in range(int(fires.row_size[n]) - 1)
            if split[name][str(f)] != "train"
        }
        assert set(zip(store.fire_id.values.tolist(), store.init_step.values.tolist(), strict=True)) == wanted
        first = store.isel(forecast=0)
        row = int(fires.row_start[fires.fire_id.values.tolist().index(str(first.fire_id.values))]) + int(
            first.init_step
        )
        burned = fires.burned[row].values == 1
        assert (first.probability.values[0][burned] == 1).all()
        assert (first.probability.values[0][~burned] < 1).all()


def test_geotiffs_lie_where_the_landscape_says(trained):
    settings, layout, _ = trained
    path = hindcast(settings, layout, 0, "tiny", "cpu")
    fires = open_fires(layout.fires("tiny"))
    tif = sorted(path.with_suffix(".geotiff").iterdir())[0]
    number = fires.fire_id.values.tolist().index(tif.stem)
    with (
        rasterio.open(tif) as raster,
        rasterio.open(settings.datasets["tiny"].root / "landscape" / "Input_Geotiff.tif") as land,
    ):
        corner = land.transform * (int(fires.window_col[number]), int(fires.window_row[number]))
        assert raster.transform * (0, 0) == corner
        assert raster.crs == land.crs
        assert raster.count == int(fires.row_size[number]) - 1
        assert raster.tags(1)["valid_time"]


def changed(settings: Settings, dropout: float = 0.0, **training) -> tuple[Settings, Layout]:
    """The same data under other settings of the training."""
    settings = settings.model_copy(
        update={
            "training": settings.training.model_copy(update=training),
            "model": settings.model.model_copy(update={"dropout": dropout}),
        }
    )
    return settings, Layout(settings)


def weights(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path.with_name("last.ckpt"), weights_only=False)["state_dict"]


def dying_after(epoch: int):
    """The end of a validation, after which that of one epoch stops the run."""

    def dies(self):
        ENDS(self)
        if self.current_epoch == epoch:
            raise RuntimeError("power cut")

    return dies


def test_a_network_is_not_trained_again_on_the_same_data_and_is_on_others(trained, monkeypatch):
    settings, layout, path = trained
    weights, long_ago = path.read_bytes(), path.stat().st_mtime - 1000
    os.utime(path, (long_ago, long_ago))
    monkeypatch.setattr("lightning.Trainer.fit", None)
    assert train(settings, layout, 0, "cpu") == path
    assert path.read_bytes() == weights
    assert path.stat().st_mtime > long_ago  # Snakemake goes by times
    mark = path.with_name("finished.json")
    told = json.loads(mark.read_text())
    assert len(told) == 5  # two data sets, the weights that made the features of each, and the split
    for changed in range(5):
        mark.write_text(json.dumps([*told[:changed], "other", *told[changed + 1 :]]))
        assert not TrainingRun(path.parent, told).ended
    mark.write_text(json.dumps(told))
    assert TrainingRun(path.parent, told).ended
    TrainingRun(path.parent, told).mark.write_text("[]")  # begun again, and stopped
    assert not TrainingRun(path.parent, told).ended
    TrainingRun(path.parent, told).mark.unlink()


def test_all_processes_take_a_run_up_alike(trained, tmp_path):
    """The first one begins the run; the others look afterwards."""
    _, layout, path = trained
    contents = [one.content for one in open_landscapes(layout, load_model(path)[1])]
    for fires, left, expected in (
        (contents, [], None),
        (contents, ["last.ckpt"], str(tmp_path / "last.ckpt")),
        (contents[:1], ["last.ckpt"], None),  # of other fires: removed
    ):
        for name in left:
            torch.save({}, tmp_path / name)
        first, other = (TrainingRun(tmp_path, fires) for _ in range(2))
        assert first.begin() == (expected is not None)
        assert other.checkpoint == first.checkpoint == expected


def test_damage_to_what_a_stopped_run_left_is_found_before_it_goes_on(trained, tmp_path):
    _, layout, path = trained
    contents = [one.content for one in open_landscapes(layout, load_model(path)[1])]
    for name, damage in (("last", 100), ("best", 100), ("last", None)):  # a byte is another one; cut short
        TrainingRun(tmp_path, contents).mark.unlink(missing_ok=True)
        TrainingRun(tmp_path, contents).begin()
        for kept in ("last.ckpt", "best.ckpt"):
            torch.save({"weights": torch.arange(1000.0)}, tmp_path / kept)
        damaged = tmp_path / f"{name}.ckpt"
        content = bytearray(damaged.read_bytes())
        if damage is None:
            content = content[:-50]
        else:
            content[content.index(torch.arange(1000.0).numpy().tobytes()) + damage] ^= 1
        damaged.write_bytes(content)
        with pytest.raises(InputError, match="damaged") as found:
            TrainingRun(tmp_path, contents).begin()
        assert found.value.where == str(damaged)
        assert found.value.remedy.startswith(f"remove {tmp_path / 'last.ckpt'}")
        (tmp_path / "last.ckpt").unlink()
        assert not TrainingRun(tmp_path, contents).begin()


def test_a_stopped_run_ends_as_if_it_had_not_been_stopped(trained, monkeypatch, tmp_path):
    """The same steps, windows, views and dropout in the epochs that were left; the same weights to the last bit.

    Stopped twice: its curve has all epochs.
    """
    settings, layout, _ = trained
    longer, layout = changed(settings, dropout=0.2, epochs=3, crop=2, steps_per_fire=2)
    whole = train(longer, layout, 0, "cpu").parent
    whole.rename(tmp_path / "whole")
    for epoch in (1, 2):
        monkeypatch.setattr(SpreadTraining, "on_validation_epoch_end", dying_after(epoch))
        with pytest.raises(RuntimeError, match="power cut"):
            train(longer, layout, 0, "cpu")
    assert not (layout.model(0) / "model.ckpt").exists()
    monkeypatch.setattr(SpreadTraining, "on_validation_epoch_end", ENDS)
    torch.manual_seed(123)
    path = train(longer, layout, 0, "cpu")
    curve, expected = (pd.read_csv(folder / "metrics.csv") for folder in (path.parent, tmp_path / "whole"))
    assert curve["epoch"][curve["train/loss"].notna()].tolist() == [0, 1, 2]
    for score in ("train/loss", "val/loss", "val/new_ap", "val/calibration_low"):
        assert curve[score].dropna().tolist() == expected[score].dropna().tolist()
    assert load_model(path)[3]["calibration"] == load_model(tmp_path / "whole" / "model.ckpt")[3]["calibration"]
    ends_with, should = weights(path), weights(tmp_path / "whole" / "model.ckpt")
    assert all(torch.equal(ends_with[key], value) for key, value in should.items())


def test_epochs_differ(trained, monkeypatch):
    """Every epoch serves its own order, windows and views."""
    settings, layout, _ = trained
    longer, layout = changed(settings, epochs=2, crop=2)
    step, served = SpreadTraining.training_step, []

    def watched(self, batch, batch_idx):
        served.append((self.current_epoch, batch["index"].tolist(), batch["target"].clone()))
        return step(self, batch, batch_idx)

    monkeypatch.setattr(SpreadTraining, "training_step", watched)
    train(longer, layout, 1, "cpu")
    orders = [[index for epoch, index, _ in served if epoch == number] for number in (0, 1)]
    assert orders[0] != orders[1]
    first, second = (sorted(n for batch in order for n in batch) for order in orders)
    assert first == second == list(range(len(first)))
    views = [{n: row for epoch, index, rows in served if epoch == number for n, row in zip(index, rows, strict=True)}
             for number in (0, 1)]  # fmt: skip
    assert any(not torch.equal(views[0][n], views[1][n]) for n in views[0])


def test_validation_does_not_depend_on_its_batches(trained, monkeypatch):
    """Whole frames pass one at a time or several: the validation loss and scores are over all of them at once."""
    settings, _, path = trained
    curve = pd.read_csv(path.with_name("metrics.csv"))
    monkeypatch.setattr("emberformer.training.whole_frames_at_once", lambda device: 3)
    same, layout = changed(settings, patience=50)
    again = pd.read_csv(train(same, layout, 0, "cpu").with_name("metrics.csv"))
    for score in ("val/loss", "val/new_ap", "val/new_f1", "val/calibration_low"):
        assert again[score].dropna().tolist() == pytest.approx(curve[score].dropna().tolist(), rel=1e-4, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("pos_weight", "taken_up", "travel_time"), [(1.0, False, False), (None, True, True)])
def test_two_processes_train_as_one(tmp_path, monkeypatch, pos_weight, taken_up, travel_time):
    """Losses, scores and weights of `--devices 2`, from the beginning or from where one process was stopped.

    Batches of three and the rest leave one process without an item. Where fire takes the quickest way, rounding chooses
    between ways that are as quick, which the rates of training enlarge a thousandfold: small steps keep it small.
    """
    small_steps = {"learning_rate": 1e-5} if travel_time else {}
    settings, layout = tiny_experiment(
        tmp_path, {"tiny": (28, 42), "other": (50, 36)},
        training={
            **TRAINING, **small_steps, "batch_size": 3, "epochs": 2, "crop": 2,
            "loss": {"dice": 0.5, "pos_weight": pos_weight},
        },
        model={"travel_time": travel_time},
    )  # fmt: skip
    prepare(settings, layout)
    config = save_settings(settings, tmp_path / "config.yaml")
    one = train(settings, layout, 0, "cpu").parent
    one.rename(tmp_path / "one")
    if taken_up:
        monkeypatch.setattr(SpreadTraining, "on_validation_epoch_end", dying_after(1))
        with pytest.raises(RuntimeError, match="power cut"):
            train(settings, layout, 0, "cpu")
    command = [Path(sys.executable).with_name("emberformer"), "train", "--config", config, "--device", "cpu"]
    environment = {key: value for key, value in os.environ.items() if key not in ("LOCAL_RANK", "WORLD_SIZE")}
    done = subprocess.run(
        [*command, "--devices", "2", "--threads", "2"], capture_output=True, text=True, env=environment, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split().count(str(layout.model(0) / "model.ckpt")) == 1
    assert not (layout.model(0) / "unfinished.json").exists()
    curve, expected = (pd.read_csv(folder / "metrics.csv") for folder in (layout.model(0), tmp_path / "one"))
    # Rounding moves a pixel into the next bin of the forecast now and then, which the scores show.
    for score, apart in (
        ("train/loss", 1e-5), ("val/loss", 1e-5), ("val/new_ap", 1e-4), ("val/new_f1", 1e-4),
        ("val/calibration_low", 1e-4),
    ):  # fmt: skip
        assert curve[score].dropna().tolist() == pytest.approx(expected[score].dropna().tolist(), rel=apart, abs=apart)
    two, should = weights(layout.model(0) / "model.ckpt"), weights(tmp_path / "one" / "model.ckpt")
    # Adam enlarges gradients that are rounding alone (the keys' bias, a channel that is zero): a few may differ.
    apart = sum(int((~torch.isclose(two[key], value, rtol=1e-5, atol=1e-5)).sum()) for key, value in should.items())
    assert apart < 0.05 * sum(value.numel() for value in should.values())


@pytest.mark.parametrize(("device", "devices"), [("cuda", 64), ("cuda:0", 2)])
def test_devices_that_are_not_there(trained, device, devices):
    settings, layout, _ = trained
    with pytest.raises(InputError, match="--devices"):
        train(settings, layout, 3, device, devices=devices)


def test_a_checkpoint_that_is_none(tmp_path):
    (tmp_path / "model.ckpt").write_bytes(b"nothing")
    with pytest.raises(InputError, match="emberformer train"):
        load_model(tmp_path / "model.ckpt")


@pytest.mark.parametrize("mark", ["", "[", None])
def test_a_run_whose_mark_is_not_whole_begins_anew(tmp_path, mark):
    run = TrainingRun(tmp_path, ["fires"])
    if mark is not None:
        run.mark.write_text(mark)
    (tmp_path / "last.ckpt").write_bytes(b"of what?")
    assert not run.begin()
    assert not (tmp_path / "last.ckpt").exists()
    assert json.loads(run.mark.read_text()) == ["fires"]


def test_a_full_disk_leaves_the_mark_of_a_run_as_it_was(tmp_path, monkeypatch):
    run = TrainingRun(tmp_path, ["fires"])
    run.begin()

    def full(path: Path, content: bytes) -> None:
        path.open("wb").close()  # nothing of it is written
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="no space"):
        run.begin()
    assert json.loads(run.mark.read_text()) == ["fires"]


def test_a_checkpoint_of_another_version_is_named(trained, tmp_path):
    content = torch.load(trained[2], weights_only=True)
    key, weights = content["settings"] | {"renamed": 1}, dict(content["state"])
    weights.popitem()
    for changed, named in (({"settings": key}, "renamed"), ({"state": weights}, "Missing key")):
        torch.save(content | changed, tmp_path / "model.ckpt")
        with pytest.raises(InputError, match=rf"(?s){named}.*this version trains.*train again"):
            load_model(tmp_path / "model.ckpt")
