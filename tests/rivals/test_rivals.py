"""Laws of the rival networks: padding, batch mates, sizes, gradients; each learns a fire by heart and is trained."""

import pandas as pd
import pytest
import torch

from emberformer.checkpoint import build_model, load_model, model_inputs, open_landscapes
from emberformer.data.fires import open_fires
from emberformer.data.normalise import TerrainNormaliser
from emberformer.data.split import read_split
from emberformer.dataset import FireSteps, list_steps
from emberformer.forecast_store import open_forecasts
from emberformer.hindcast import hindcast
from emberformer.losses import open_pixels
from emberformer.network_sizes import Sizes
from emberformer.optimisation import parameter_groups
from emberformer.rollout import probability_of
from emberformer.settings import Settings
from emberformer.training import train
from tests.losses_of import spread_loss
from tests.stores import MODEL, TRAINING, prepare, tiny_experiment

NETWORKS = ("conv_head", "tiny_3d", "unet", "unet_grid", "res18_unet", "conv_lstm", "utae")
OVER_TIME = ("tiny_3d", "conv_lstm", "utae")
SIZES = Sizes(
    features=24, pixels=14, channels=("elevation",),
    normaliser=TerrainNormaliser({"elevation": (0.0, 1.0)}, ("aspect_deg",), (), {"fuel_model|1": (1, 2, 3)}),
)  # fmt: skip


def settings_of(name: str, tmp_path, **model) -> Settings:
    settings, _ = tiny_experiment(tmp_path, model={**MODEL, "network": name, "channels": 8, **model})
    return settings


@pytest.fixture(params=NETWORKS)
def network(request, tmp_path):
    torch.manual_seed(0)
    return build_model(SIZES, settings_of(request.param, tmp_path)).eval()


def some_batch(batch=2, history=3, grid=(2, 3), seed=1):
    generator = torch.Generator().manual_seed(seed)
    height, width = grid[0] * 14, grid[1] * 14
    age = torch.rand(batch, 1, height, width, generator=generator)
    moments = torch.arange(history).view(1, -1, 1, 1) / history
    burned = (moments > age).to(torch.uint8)
    return {
        "history_pixels": burned,
        "fire_pixels": torch.stack([burned[:, -1].float(), burned.float().mean(1)], 1),
        "wind": torch.randn(batch, history, 2, generator=generator),
        "valid_t": torch.ones(batch, history, dtype=torch.bool),
        "terrain_pixels": torch.randn(batch, 4, height, width, generator=generator),
        "categories": torch.randint(0, 4, (batch, 1, height, width), generator=generator),
    }


def run(model, batch):
    with torch.no_grad():
        return model(**model_inputs(model, batch))


@pytest.mark.parametrize("history", [1, 3])
def test_padding_on_the_left_changes_nothing(network, history):
    batch = some_batch(history=history)
    padded = dict(batch)
    for key, garbage in (("history_pixels", 1), ("wind", 2.5), ("valid_t", False)):
        before = torch.full_like(batch[key][:, :1], garbage).repeat_interleave(2, 1)
        padded[key] = torch.cat([before, batch[key]], 1)
    torch.testing.assert_close(run(network, padded), run(network, batch), rtol=0, atol=1e-5)


def test_batch_mates_change_nothing(network):
    batch = some_batch(batch=3)
    batch["valid_t"][1, :2] = False
    together = run(network, batch)
    for n in range(3):
        alone = run(network, {key: value[n : n + 1] for key, value in batch.items()})
        torch.testing.assert_close(together[n], alone[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("grid", [(1, 1), (2, 3), (5, 4)])
def test_logits_have_the_rasters_size(network, grid):
    assert run(network, some_batch(grid=grid)).shape == (2, grid[0] * 14, grid[1] * 14)


def test_every_input_reaches_the_forecast(network):
    batch = model_inputs(network, some_batch())
    moving = {key: value.clone().requires_grad_() for key, value in batch.items() if value.is_floating_point()}
    network(**{**batch, **moving}).sum().backward()
    for key, value in moving.items():
        assert value.grad is not None, key
        assert value.grad.abs().sum() > 0, key


def test_every_parameter_learns_and_is_in_one_group(network):
    groups = parameter_groups(network.parts(), network, {"decoder": 0.1})
    assert sum(len(group["params"]) for group in groups) == len(list(network.parameters()))
    torch.nn.functional.softplus(network(**model_inputs(network, some_batch()))).mean().backward()
    still = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert still == []


@pytest.mark.parametrize("name", OVER_TIME)
def test_the_order_of_the_past_matters(name, tmp_path):
    torch.manual_seed(0)
    model, batch = build_model(SIZES, settings_of(name, tmp_path)).eval(), some_batch(history=4)
    swapped = {**batch, "history_pixels": batch["history_pixels"][:, [1, 2, 0, 3]]}
    assert (run(model, batch) - run(model, swapped)).abs().max() > 1e-5


def test_no_rival_reads_cached_features(network):
    assert not {"frame_patches", "terrain_patches"} & set(network.inputs)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    settings, layout = tiny_experiment(tmp_path_factory.mktemp("rivals"), training={**TRAINING, "flip": False})
    prepare(settings, layout)
    return settings, layout


def variant(data, name: str, **training):
    """The same data, with another network."""
    settings, layout = data
    changes = {"model": {"network": name, "channels": 8}, "training": training}
    settings = Settings.model_validate({**settings.model_dump(mode="json"), "variants": {name: changes}}).variant(name)
    return settings, type(layout)(settings)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_each_learns_one_fire_by_heart(data, name):
    settings, layout = variant(data, name)
    split = read_split(layout.split)
    sizes = Sizes.of(layout, split)
    landscapes = open_landscapes(layout, sizes)
    torch.manual_seed(0)
    model = build_model(sizes, settings)
    steps = list_steps(landscapes, split, "train")[:4]
    batch = FireSteps(landscapes, steps, settings.model.history, inputs=model.inputs).__getitems__([0, 1, 2, 3])
    if name == "unet_grid":  # all that it can know are patches
        patches = torch.nn.functional.max_pool2d((batch["target"] == 1).float()[:, None], sizes.pixels)
        batch["target"] = torch.nn.functional.interpolate(patches, scale_factor=sizes.pixels)[:, 0].to(torch.uint8)
    optimizer = torch.optim.AdamW(model.parameters(), 2e-2 if name == "conv_lstm" else 1e-2)
    counted = open_pixels(batch["target"], batch["fire_pixels"][:, 0])
    for step in range(800):
        optimizer.zero_grad()
        spread_loss(model(**model_inputs(model, batch)), batch["target"], counted, 1.0, 0.1).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 20 == 19 and new_fire_f1(model, batch, counted) > 0.95:
            return
    pytest.fail("it does not know four steps of a fire after 800 repetitions")


def new_fire_f1(model, batch, counted) -> float:
    forecast_new = probability_of(model, batch)[counted] > 0.5
    observed = batch["target"][counted] == 1
    return float(2 * (forecast_new & observed).sum() / (forecast_new.sum() + observed.sum()))


@pytest.mark.parametrize("name", NETWORKS)
def test_each_is_trained_and_forecasts_whole_frames(data, name):
    settings, layout = variant(data, name, epochs=2, crop=2)
    path = train(settings, layout, 0, "cpu")
    model, _sizes, kept, _about = load_model(path)
    assert kept.model.network == name
    assert all(p.isfinite().all() for p in model.parameters())
    store = open_forecasts(hindcast(settings, layout, 0, "tiny", "cpu"))
    fires = open_fires(layout.fires("tiny"))
    assert store.probability.shape[-2:] == (fires.sizes["y"], fires.sizes["x"])
    burned = fires.burned[int(fires.row_start[fires.fire_id.values.tolist().index(str(store.fire_id.values[0]))])] == 1
    assert (store.probability.values[0, 0][burned.values] == 1).all()


def test_every_term_of_the_loss_trains_a_network(data):
    """Terms that need wind and terrain are served them, and the curve is that of the weighted sum."""
    terms = {"focal": 0.7, "tversky": 0.3, "boundary": 0.2, "wind_direction": 0.5, "pos_weight": None}
    curves = []
    for loss in (terms, {}):
        settings, layout = variant(data, "conv_head", epochs=1, loss=loss)
        curves.append(pd.read_csv(train(settings, layout, 0, "cpu").with_name("metrics.csv"))["val/loss"].dropna())
    assert curves[0].item() > curves[1].item() > 0
