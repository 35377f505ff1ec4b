"""Logs of a run: what they say is so, they go on with it, and they change no number of it."""

import numpy as np
import pandas as pd
import pytest
import torch
import wandb
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger, WandbLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from emberformer.calibration import Calibration
from emberformer.errors import InputError
from emberformer.layout import Layout
from emberformer.previews import PIXELS, Preview, colours_of, draw_previews
from emberformer.run_logs import BEST, RUN_ID, RunLogs
from emberformer.settings import Settings
from emberformer.training import SpreadTraining, train
from emberformer.training_settings import LoggingSettings
from tests.stores import prepare, tiny_experiment

OF_THE_SPREAD = {name: end for name, end in BEST.items() if name != "val/ap"}  # which a detector alone has


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    settings, layout = tiny_experiment(tmp_path_factory.mktemp("logs"))
    prepare(settings, layout)
    return settings


def logged(settings: Settings, name: str, **logging) -> tuple[Settings, Layout]:
    """The same training under another name of its results, and other logs."""
    of_logs = LoggingSettings.model_validate({"wandb": "disabled", **logging})
    training = settings.training.model_copy(update={"learning_rate": 1e-3 + 1e-9 * len(name)})  # a folder of its own
    changed = settings.model_copy(update={"logging": of_logs, "training": training})
    return changed, Layout(changed)


@pytest.fixture(scope="module")
def trained(experiment):
    settings, layout = logged(experiment, "a")
    losses = []
    step = SpreadTraining.training_step

    def noted(self, batch, batch_idx):
        loss = step(self, batch, batch_idx)
        losses.append((self.current_epoch, loss.item()))
        return loss

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SpreadTraining, "training_step", noted)
        folder = train(settings, layout, 0, "cpu").parent
    return settings, folder, losses


def test_one_key_turns_weights_and_biases_off(experiment, tmp_path):
    settings, _ = logged(experiment, "b")
    assert [type(logger) for logger in RunLogs(settings, tmp_path, 0).loggers(going_on=False)] == [
        CSVLogger,
        TensorBoardLogger,
    ]
    assert not list(tmp_path.iterdir())


def test_the_training_loss_is_a_loss(trained):
    """`train/loss` of an epoch is the mean loss of its batches, and no accuracy has its name."""
    _, folder, losses = trained
    curve = pd.read_csv(folder / "metrics.csv")
    for epoch, value in curve.dropna(subset=["train/loss"])[["epoch", "train/loss"]].itertuples(index=False):
        assert value == pytest.approx(np.mean([loss for of, loss in losses if of == epoch]), rel=1e-5)
    names = {"epoch", "step", "train/loss", "val/loss", "val/new_ap", "val/new_f1"}
    names |= {f"val/calibration_{name}" for name in Calibration._fields}
    assert set(curve.columns) == names


def test_tensorboard_has_curves_configuration_and_previews(trained):
    settings, folder, _ = trained
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    curve = pd.read_csv(folder / "metrics.csv")
    seen = [event.value for event in events.Scalars("val/new_ap")]
    assert seen == pytest.approx(curve["val/new_ap"].dropna().tolist(), rel=1e-6)
    assert [event.step for event in events.Images("val/previews")] == [0, 1]
    assert (
        f"name: {settings.name}".encode() in events.Tensors("configuration/text_summary")[0].tensor_proto.string_val[0]
    )


def test_logs_change_no_number(experiment, trained):
    """Without previews the weights come out the same, to the last bit."""
    _, folder, _ = trained
    settings, layout = logged(experiment, "a", previews=0)
    folder.rename(folder.with_name("with-previews"))
    again = train(settings, layout, 0, "cpu").parent
    states = [
        torch.load(of / "last.ckpt", weights_only=False)["state_dict"]
        for of in (again, folder.with_name("with-previews"))
    ]
    assert all(torch.equal(states[0][key], value) for key, value in states[1].items())
    assert "val/previews" not in EventAccumulator(str(again / "tensorboard")).Reload().Tags()["images"]


def test_a_fresh_run_leaves_no_curves_of_another(experiment, tmp_path):
    settings, _ = logged(experiment, "c")
    (tmp_path / "tensorboard").mkdir()
    (tmp_path / RUN_ID).write_text("abc")
    RunLogs(settings, tmp_path, 0).loggers(going_on=True)
    assert (tmp_path / "tensorboard").exists()
    RunLogs(settings, tmp_path, 0).loggers(going_on=False)
    assert not list(tmp_path.iterdir())


def test_the_preview_shows_burned_new_and_unknown_ground():
    """Hand-worked: burned stays grey on all maps, new fire is red, unknown is white, likely fire is darker."""
    burned, observed = np.zeros((2, 3), np.uint8), np.array([[1, 1, 0], [0, 0, 255]], np.uint8)
    burned[0, 0] = 1
    probability = np.array([[1, 0.9, 0.1], [0.1, 0.1, 0.1]], np.float32)
    so_far, forecast, seen = colours_of(Preview("one", burned, probability, observed))
    grey = so_far[0, 0]
    assert (forecast[0, 0] == grey).all()
    assert (seen[0, 0] == grey).all()
    assert seen[0, 1][0] > 2 * seen[0, 1][1]  # red
    assert (seen[1, 2] == 1).all()
    assert (seen[0, 2] == so_far[0, 2]).all()
    assert forecast[0, 1].sum() < forecast[0, 2].sum()


def test_large_maps_are_thinned_out_and_make_no_larger_picture():
    def drawn(height: int, width: int) -> np.ndarray:
        maps = np.zeros((height, width), np.uint8)
        preview = Preview("one", maps, maps.astype(np.float32), maps)
        assert max(colours_of(preview)[0].shape) <= PIXELS
        return draw_previews([preview] * 4)

    large = drawn(1000, 700)
    assert large.shape == drawn(10, 7).shape
    assert large.dtype == np.uint8
    assert large.std() > 0


def test_online_without_an_account_says_what_to_do(experiment, tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setattr("wandb.api", type("Api", (), {"api_key": None}))
    settings, _ = logged(experiment, "d", wandb="online")
    with pytest.raises(InputError, match="wandb login"):
        RunLogs(settings, tmp_path, 0).loggers(going_on=False)


def test_an_offline_run_of_weights_and_biases(experiment, monkeypatch):
    """Named, grouped and tagged; goes on under its id after a stop; the finished model is put with it."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    settings, layout = logged(
        experiment, "offline", wandb="offline", tags=("dry", "dry"), watch=True, artifact=True, previews=1
    )
    runs, artifacts, best = [], [], {}
    began = WandbLogger.watch

    def watched(self, *args, **options):
        runs.append(self.experiment)
        began(self, *args, **options)

    monkeypatch.setattr(WandbLogger, "watch", watched)
    kept = wandb.Artifact.add_file

    def noted(self, path):
        run = wandb.run
        assert run is not None
        artifacts.append(path)
        best.update({name: dict(run.summary[name]) for name in OF_THE_SPREAD})
        return kept(self, path)

    monkeypatch.setattr(wandb.Artifact, "add_file", noted)
    ends = SpreadTraining.on_validation_epoch_end

    def dies(self):
        ends(self)
        if self.current_epoch == 1:
            raise RuntimeError("power cut")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SpreadTraining, "on_validation_epoch_end", dies)
        with pytest.raises(RuntimeError, match="power cut"):
            train(settings, layout, 0, "cpu")
    path = train(settings, layout, 0, "cpu")
    assert wandb.run is None
    assert artifacts == [str(path)]
    assert len({run.id for run in runs}) == 1
    assert runs[0].id == (path.parent / RUN_ID).read_text()
    assert len(runs) == 2
    run = runs[1]
    assert run.name == "experiment-emberformer-phase1-seed-0"
    assert (run.group, run.job_type) == ("experiment", "phase1")
    assert set(run.tags) == {"dry", "emberformer", "phase1", "tiny"}
    assert run.config["training"]["epochs"] == 2  # nested, as in the configuration
    assert len(list((path.parent / "wandb").glob(f"offline-run-*-{run.id}/run-{run.id}.wandb"))) >= 1
    assert list((path.parent / "wandb").glob("offline-run-*/files/media/images/val/previews*.png"))
    last = pd.read_csv(path.with_name("metrics.csv")).ffill().iloc[-1]
    assert best == {name: {end: pytest.approx(last[name])} for name, end in OF_THE_SPREAD.items()}
