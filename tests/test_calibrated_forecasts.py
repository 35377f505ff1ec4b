"""Calibration from validation to forecast: fitted on its steps, kept with the model, used where that forecasts."""

import numpy as np
import pytest
import torch
from scipy.special import expit

from benchmarks.small_store import CACHED_INPUTS
from emberformer.calibration import NOT_CALIBRATED, Calibration
from emberformer.checkpoint import load_model, model_inputs, open_landscapes
from emberformer.data.split import read_split
from emberformer.dataset import FireSteps, Step, list_steps
from emberformer.evaluate.calibration_fit import FOLDS, calibration_of_counts
from emberformer.evaluate.verification import BINS, bin_index
from emberformer.forecast_counts import counts_of_forecast, fire_folds
from emberformer.forecast_store import open_forecasts
from emberformer.hindcast import hindcast
from emberformer.interpretation.subject import open_subject
from emberformer.losses import open_pixels
from emberformer.rollout import probability_of
from emberformer.training import train
from tests.stores import prepare, tiny_experiment


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    split = {"train": 0.3, "validation": 0.5, "test": 0.2}  # of six fires: three to validate on, as one tells nothing
    settings, layout = tiny_experiment(tmp_path_factory.mktemp("calibrated"), training={"epochs": 1}, split=split)
    prepare(settings, layout)
    return settings, layout, train(settings, layout, 0, "cpu")


def validation_batches(settings, layout, path):
    """Every step that the training was validated on, one at a time."""
    landscapes = open_landscapes(layout, load_model(path)[1])
    number = settings.training.validation_steps_per_fire
    steps = list_steps(landscapes, read_split(layout.split), "validation", number)
    items = FireSteps(landscapes, steps, settings.model.history, inputs=CACHED_INPUTS)
    return [(step, items.__getitems__([n])) for n, step in enumerate(steps)]


def test_counts_are_those_of_the_verification():
    torch.manual_seed(0)
    logits, target = 12 * torch.randn(2, 9, 7), torch.randint(0, 2, (2, 9, 7), dtype=torch.uint8)
    counted = torch.rand(2, 9, 7) < 0.8
    logits.view(-1)[:4] = torch.tensor([0.0, -1e-6, 200.0, -200.0])
    found = counts_of_forecast(logits, target, counted, torch.tensor([3, 1])).numpy()
    assert set(np.flatnonzero(found.sum((1, 2)))) == {1, 3}
    for item, fold in enumerate((3, 1)):
        place = bin_index(torch.sigmoid(logits[item][counted[item]].double()).numpy(), "probability")
        outcomes = [(target[item][counted[item]] == outcome).numpy() for outcome in (0, 1)]
        assert (found[fold] == [np.bincount(place[of], minlength=BINS) for of in outcomes]).all()


def test_fires_take_turns_over_the_folds_whole():
    steps = [Step(landscape, fire, step) for landscape, fire in [(0, 4), (0, 9), (1, 4)] for step in range(3)]
    assert fire_folds(steps).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert fire_folds([Step(0, fire, 0) for fire in range(7)]).tolist() == [0, 1, 2, 3, 4, 0, 1]


def test_the_calibration_that_is_kept_is_that_of_the_validation_steps(trained):
    settings, layout, path = trained
    model, _, _, about = load_model(path)
    batches = validation_batches(settings, layout, path)
    folds = fire_folds([step for step, _ in batches])
    counts = np.zeros((FOLDS, 2, BINS), np.int64)
    for n, (_, batch) in enumerate(batches):
        with torch.inference_mode():
            logits = model(**model_inputs(model, batch))
        counted = open_pixels(batch["target"], batch["fire_pixels"][:, 0])
        counts += counts_of_forecast(logits, batch["target"], counted, folds[n : n + 1]).numpy()
    assert about["calibration"] != NOT_CALIBRATED
    assert about["calibration"] == pytest.approx(calibration_of_counts(counts), rel=1e-3)


def test_forecasts_are_those_of_the_calibrated_logits(trained):
    settings, layout, path = trained
    model, _, _, about = load_model(path)
    store = open_forecasts(hindcast(settings, layout, 0, "tiny", "cpu"))
    assert Calibration.of(store.attrs) == about["calibration"]
    fires = open_landscapes(layout, load_model(path)[1])[0].fires
    kept = {
        (str(f), int(s)): k for k, (f, s) in enumerate(zip(store.fire_id.values, store.init_step.values, strict=True))
    }
    for step, batch in validation_batches(settings, layout, path)[:2]:
        with torch.inference_mode():
            logits = model(**model_inputs(model, batch))[0].numpy()
            probability = probability_of(model, batch, about["calibration"])[0].numpy()
        burned = batch["fire_pixels"][0, 0].numpy() == 1
        expected = np.where(burned, 1.0, expit(about["calibration"].logits(logits)))
        found = store.probability[kept[str(fires.fire_id.values[step.fire]), step.step], 0].values
        np.testing.assert_allclose(found, expected[: found.shape[0], : found.shape[1]], rtol=1e-5)
        assert burned.any()
        np.testing.assert_allclose(probability, expected, rtol=1e-5)


def test_what_is_interpreted_is_the_forecast(trained):
    _, layout, path = trained
    assert open_subject(layout, 0, "phase1", "tiny", "test", "cpu").calibration == load_model(path)[3]["calibration"]


def test_a_temperature_alone_is_a_calibration(trained, tmp_path):
    content = torch.load(trained[2], weights_only=True)
    del content["calibration"]
    torch.save(content | {"temperature": 2.0}, tmp_path / "model.ckpt")
    assert load_model(tmp_path / "model.ckpt")[3]["calibration"] == (0.5, 0.5, 0)
