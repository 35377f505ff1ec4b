"""EmberFormer with each kind of insides on real stores: what it reads, that it learns, is trained and forecasts."""

import pytest
import torch

from emberformer.checkpoint import build_model, load_model, model_inputs, open_landscapes
from emberformer.data.split import read_split
from emberformer.dataset import FireSteps, hidden_inputs, list_steps
from emberformer.features.reading import FeatureReader
from emberformer.forecast_store import open_forecasts
from emberformer.hindcast import hindcast
from emberformer.losses import open_pixels
from emberformer.network_sizes import Sizes
from emberformer.rollout import probability_of
from emberformer.settings import Settings
from emberformer.training import train
from tests.losses_of import spread_loss
from tests.stores import TRAINING, prepare, tiny_experiment

TWIN = {"fire": "stem", "terrain": "conv"}
INSIDES = {
    "default": {},
    "twin": TWIN,
    "cross_attention-pooled": {"fusion": "cross_attention", "temporal": "pooled"},
    "add_norm-local": {"fusion": "add_norm", "temporal": "local", "cross_patch_layers": 1, "terrain": "linear"},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    settings, layout = tiny_experiment(
        tmp_path_factory.mktemp("twins"), {"tiny": (26, 39)}, training={**TRAINING, "flip": False}
    )
    prepare(settings, layout)
    return settings, layout


def variant(data, model, **training):
    settings, layout = data
    content = settings.model_dump(mode="json")
    content["model"].update(model)
    content["training"].update(training)
    changed = Settings.model_validate(content)
    return changed, type(layout)(changed)


def test_a_twin_is_trained_and_forecasts_without_reading_a_token(data, monkeypatch):
    def read(*_):
        raise AssertionError("a token is read")

    monkeypatch.setattr(FeatureReader, "read", read)
    settings, layout = variant(data, {**TWIN, "token_size": 7}, epochs=1, crop=2)
    model, *_ = load_model(train(settings, layout, 0, "cpu"))
    assert all(p.isfinite().all() for p in model.parameters())
    assert open_forecasts(hindcast(settings, layout, 0, "tiny", "cpu")).probability.shape[-2:] == (26, 39)


@pytest.mark.slow
@pytest.mark.parametrize("inside", INSIDES)
def test_any_inside_learns_one_fire_by_heart(data, inside):
    settings, layout = variant(data, INSIDES[inside])
    split = read_split(layout.split)
    sizes = Sizes.of(layout, split)
    landscapes = open_landscapes(layout, sizes)
    torch.manual_seed(0)
    model = build_model(sizes, settings)
    steps = list_steps(landscapes, split, "train")[:4]
    hidden = hidden_inputs(settings.model)
    items = FireSteps(landscapes, steps, settings.model.history, inputs=model.inputs, hidden=hidden)
    batch = items.__getitems__([0, 1, 2, 3])
    optimizer = torch.optim.AdamW(model.parameters(), 5e-3)
    counted = open_pixels(batch["target"], batch["fire_pixels"][:, 0])
    observed = batch["target"][counted] == 1
    for step in range(250):
        optimizer.zero_grad()
        spread_loss(model(**model_inputs(model, batch)), batch["target"], counted, 1.0, 0.1).backward()
        optimizer.step()
        if step % 20 == 19:
            burned = probability_of(model, batch)[counted] > 0.5
            if 2 * (burned & observed).sum() / (burned.sum() + observed.sum()) > 0.95:
                return
    pytest.fail("it does not know four steps of a fire after 250 repetitions")
