"""Temperature from validation to forecast: fitted on its steps, kept with the model, used where that forecasts."""

import numpy as np
import pytest
import torch
from scipy.special import log_expit

from emberformer.checkpoint import load_model, model_inputs, open_landscapes
from emberformer.data.split import read_split
from emberformer.dataset import FireSteps, list_steps
from emberformer.errors import InputError
from emberformer.evaluate.verification import BINS, bin_index
from emberformer.forecast_store import open_forecasts
from emberformer.hindcast import hindcast
from emberformer.interpretation.subject import open_subject
from emberformer.losses import open_pixels
from emberformer.rollout import probability_of
from emberformer.training import counts_of_forecast, train
from tests.stores import prepare, tiny_experiment


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    settings, layout = tiny_experiment(tmp_path_factory.mktemp("calibrated"), training={"epochs": 1})
    prepare(settings, layout)
    return settings, layout, train(settings, layout, 0, "cpu")


def validation_batches(settings, layout, path):
    """Every step that the training was validated on, one at a time."""
    landscapes = open_landscapes(layout, load_model(path)[1])
    number = settings.training.validation_steps_per_fire
    steps = list_steps(landscapes, read_split(layout.split), "validation", number)
    items = FireSteps(landscapes, steps, settings.model.history)
    return [(step, items.__getitems__([n])) for n, step in enumerate(steps)]


def test_counts_are_those_of_the_verification():
    torch.manual_seed(0)
    logits, target = 12 * torch.randn(2, 9, 7), torch.randint(0, 2, (2, 9, 7), dtype=torch.uint8)
    counted = torch.rand(2, 9, 7) < 0.8
    logits.view(-1)[:4] = torch.tensor([0.0, -1e-6, 200.0, -200.0])
    place = bin_index(torch.sigmoid(logits[counted].double()).numpy(), "probability")
    expected = [np.bincount(place[(target[counted] == outcome).numpy()], minlength=BINS) for outcome in (0, 1)]
    assert (counts_of_forecast(logits, target, counted).numpy() == expected).all()


def test_the_validation_steps_are_less_surprising_at_the_temperature_that_is_kept(trained):
    settings, layout, path = trained
    model, _, _, about = load_model(path)
    margins = []
    for _, batch in validation_batches(settings, layout, path):
        with torch.inference_mode():
            logits = model(**model_inputs(model, batch))
        counted = open_pixels(batch["target"], batch["fire_pixels"][:, 0])
        margins.append(torch.where(batch["target"] == 1, logits, -logits)[counted].double().numpy())
    surprise = {
        factor: -log_expit(np.concatenate(margins) / (factor * about["temperature"])).mean()
        for factor in (0.97, 1, 1.03, 1 / about["temperature"])
    }
    assert about["temperature"] != 1
    assert min(surprise, key=surprise.__getitem__) == 1


def test_forecasts_are_those_of_the_divided_logits(trained):
    settings, layout, path = trained
    model, _, _, about = load_model(path)
    store = open_forecasts(hindcast(settings, layout, 0, "tiny", "cpu"))
    assert store.attrs["temperature"] == about["temperature"]
    fires = open_landscapes(layout, load_model(path)[1])[0].fires
    kept = {
        (str(f), int(s)): k for k, (f, s) in enumerate(zip(store.fire_id.values, store.init_step.values, strict=True))
    }
    for step, batch in validation_batches(settings, layout, path)[:2]:
        with torch.inference_mode():
            logits = model(**model_inputs(model, batch))[0]
            probability = probability_of(model, batch, about["temperature"])[0].numpy()
        burned = batch["fire_pixels"][0, 0] == 1
        expected = torch.where(burned, 1.0, torch.sigmoid(logits / about["temperature"])).numpy()
        found = store.probability[kept[str(fires.fire_id.values[step.fire]), step.step], 0].values
        np.testing.assert_allclose(found, expected[: found.shape[0], : found.shape[1]], rtol=1e-5)
        assert burned.any()
        np.testing.assert_allclose(probability, expected, rtol=1e-6)


def test_what_is_interpreted_is_the_forecast(trained):
    _, layout, path = trained
    assert open_subject(layout, 0, "phase1", "tiny", "test", "cpu").temperature == load_model(path)[3]["temperature"]


def test_a_model_without_a_temperature_is_refused(trained, tmp_path):
    content = torch.load(trained[2], weights_only=True)
    del content["temperature"]
    torch.save(content, tmp_path / "model.ckpt")
    with pytest.raises(InputError, match="temperature"):
        load_model(tmp_path / "model.ckpt")
