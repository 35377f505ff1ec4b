"""Rollouts: what is fed back looks to the network like a frame that was observed."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from emberformer.calibration import NOT_CALIBRATED
from emberformer.checkpoint import build_model, open_landscapes
from emberformer.data.fires import open_fires
from emberformer.data.split import read_split
from emberformer.dataset import FireSteps, Step
from emberformer.finetuned_checkpoint import backbone_hash, encodings_of, fine_tuned
from emberformer.forecast_store import open_forecasts
from emberformer.future_arrays import coming_winds
from emberformer.hindcast import hindcast
from emberformer.model.adjustment import past_steps
from emberformer.network import SpreadNetwork
from emberformer.network_sizes import Sizes
from emberformer.rollout import Rollout, make_rollout, told_ahead
from emberformer.settings import ForecastSettings, Settings
from emberformer.training import train
from tests.stores import TRAINING, prepare, tiny_experiment

BACKBONE = {"weights": "random", "architecture": "dinov2-tiny", "precision": "float32", "layers": (2, 3)}
CPU = torch.device("cpu")
NETWORKS = {
    "dino": {},
    "layers": {"decoder": "fpn"},
    "stem": {"fire": "stem", "terrain": "conv"},
    "token": {"network": "token"},
    "unet": {"network": "unet"},
    "utae": {"network": "utae"},
    "leads": {"lead_times": 2},
}


class Neighbours(SpreadNetwork):
    """Fire takes the four neighbours of every burning pixel, surely, or with a probability."""

    inputs = ("fire_pixels",)

    def __init__(self, probability: float = 1.0):
        super().__init__()
        self.logit = float(torch.logit(torch.tensor(probability)))

    def parts(self):
        return {}

    def forward(self, *, fire_pixels):
        burned = (fire_pixels[:, 0] > 0.5).float()
        cross = torch.tensor([[0.0, 1, 0], [1, 1, 1], [0, 1, 0]])[None, None]
        reached = functional.conv2d(burned[:, None], cross, padding=1)[:, 0] > 0
        return torch.where(reached, self.logit, -torch.inf)


def one_spark(size=9):
    burned = torch.zeros(1, size, size)
    burned[0, size // 2, size // 2] = 1
    return {"fire_pixels": torch.stack([burned, burned], 1), "stays": torch.ones(len(burned)),
            "valid_t": torch.tensor([[False, True]]), "wind": torch.zeros(1, 2, 2),
            "index": torch.tensor([4])}  # fmt: skip


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Rasters that fill their last row and column of patches in part."""
    settings, layout = tiny_experiment(
        tmp_path_factory.mktemp("rollout"), {"tiny": (26, 39)}, features=BACKBONE,
        training={**TRAINING, "epochs": 1, "flip": False},
    )  # fmt: skip
    prepare(settings, layout)
    return settings, layout


def changed(settings: Settings, **changes) -> Settings:
    content = settings.model_dump(mode="json")
    return Settings.model_validate(content | {key: {**(content[key] or {}), **one} for key, one in changes.items()})


def require_next_batch(model, landscape, settings):
    """Feed back each observed frame of the longest fire, and compare with what the stores say one step later."""
    rollout = make_rollout(model, 1, landscape, settings.features, ForecastSettings(leads=2), CPU, NOT_CALIBRATED)
    fire = int(np.argmax(landscape.row_size))
    count = int(landscape.row_size[fire]) - 1
    steps = [Step(0, fire, step) for step in range(count)]
    items = FireSteps(
        [landscape], steps, settings.model.history, inputs=(*model.inputs, "wind", "valid_t"), block=model.block
    )
    assert count > settings.model.history, "a history that is full loses its oldest frame"
    for step in range(count - 1):
        batch, expected = items.__getitems__([step]), items.__getitems__([step + 1])
        unknown = torch.zeros(1, landscape.fires.sizes["y"], landscape.fires.sizes["x"], dtype=torch.bool)
        row = int(landscape.row_start[fire]) + step + 1
        wind = torch.from_numpy(landscape.wind[row : row + 1])
        history = past_steps(batch["fire_pixels"], batch["wind"], batch["valid_t"]).burned.flip(1).float()
        with torch.inference_mode():
            found, _ = rollout.advance(batch, history, expected["fire_pixels"][:, 0], wind, unknown)
        for name in set(found) - {"target", "index", "frame_row"}:
            values, should = found[name].float(), expected[name].float()
            if name == "frame_images":  # without a number, an image is not looked at
                values, should = (one[expected["valid_t"]] for one in (values, should))
            near = (
                2e-3 if name in {"frame_patches", "frame_layers", "frame_hidden"} else 1e-6
            )  # a batch of another size
            assert torch.allclose(values, should, atol=near), (name, step)


@pytest.mark.parametrize("network", NETWORKS)
def test_an_observed_frame_fed_back_gives_the_inputs_of_the_next_step(prepared, network):
    settings, layout = prepared
    settings = changed(settings, model=NETWORKS[network])
    split = read_split(layout.split)
    sizes = Sizes.of(layout, split)
    (landscape,) = open_landscapes(layout, sizes)
    require_next_batch(build_model(sizes, settings), landscape, settings)


def test_a_direct_forecast_sees_what_its_lead_has(prepared):
    """The wind of all its steps, and how many they are."""
    layout = prepared[1]
    sizes = Sizes.of(layout, read_split(layout.split))
    (landscape,) = open_landscapes(layout, sizes)
    landscape.wind = np.random.default_rng(0).normal(size=landscape.wind.shape).astype(np.float32)
    landscape.wind[int(landscape.row_start[0]) + 2] = np.nan  # unknown wind is left out of the mean
    names = ("wind", "valid_t", "lead", "fire_pixels", "stays")
    first, third = (FireSteps([landscape], [Step(0, 0, 1, lead)], 3, inputs=names)[0] for lead in (1, 3))
    batch = {name: values[None] for name, values in first.items()}
    winds = torch.from_numpy(coming_winds(landscape, 0, int(landscape.row_start[0]) + 1, 3))[None]
    found = told_ahead(batch, winds, 3)
    assert int(found["lead"]) == int(third["lead"]) == 3
    assert torch.allclose(found["wind"][0], third["wind"], atol=1e-6)
    assert not torch.allclose(found["wind"], batch["wind"])
    landscape.foresees_wind = False
    same = torch.from_numpy(coming_winds(landscape, 0, int(landscape.row_start[0]) + 1, 3))
    assert torch.equal(same[0], same[2])


def test_direct_as_far_as_it_goes_and_rolled_out_beyond():
    """A network that takes three pixels when two steps are asked: what is direct shows, what is rolled out does not."""

    class Leap(Neighbours):
        inputs = ("fire_pixels", "lead")

        def forward(self, *, fire_pixels, lead):
            logits = super().forward(fire_pixels=fire_pixels)
            for _ in range(2 if int(lead) == 2 else 0):
                logits = super().forward(fire_pixels=torch.stack([(logits > 0).float()] * 2, 1))
            return logits

    batch = one_spark(11) | {"lead": torch.tensor([1])}
    burned = Rollout(Leap(), 2, 3, None, "threshold", 1, 0)(batch, torch.zeros(1, 3, 2), torch.zeros(1, 11, 11) > 0)[0]
    reach = [int((burned[lead, 5, 6:] == 1).sum()) for lead in range(3)]
    assert reach == [1, 3, 3]
    alone = Rollout(Leap(), 1, 3, None, "threshold", 1, 0)(batch, torch.zeros(1, 3, 2), torch.zeros(1, 11, 11) > 0)[0]
    assert [int((alone[lead, 5, 6:] == 1).sum()) for lead in range(3)] == [1, 2, 3]


@pytest.mark.parametrize("path", ["tail", "pixels"])
def test_so_it_does_where_the_backbone_was_tuned(prepared, path):
    settings, layout = prepared
    settings = changed(settings, phase2={"path": path, "method": "lora", "blocks": 1})
    split = read_split(layout.split)
    sizes = Sizes.of(layout, split)
    landscapes = open_landscapes(layout, sizes)
    of_backbone = encodings_of(landscapes), backbone_hash(layout, landscapes)
    network = fine_tuned(build_model(sizes, settings), settings, "phase2", *of_backbone, layout.config).eval()
    require_next_batch(network, landscapes[0], settings)


@pytest.mark.parametrize("feedback", ["threshold", "probability", "stochastic"])
def test_a_sure_fire_takes_a_pixel_a_step(feedback):
    rollout = Rollout(Neighbours(), 1, 3, None, feedback, 3, 0)
    unknown = torch.zeros(1, 9, 9, dtype=torch.bool)
    unknown[0, 4, 5] = True  # and does not pass what is unknown
    burned = rollout(one_spark(), torch.zeros(1, 3, 2), unknown)[0]
    distance = np.abs(np.arange(9) - 4)[:, None] + np.abs(np.arange(9) - 4)
    behind = np.zeros((9, 9), bool)
    behind[4, 6:] = True
    for lead in range(3):
        assert (burned[lead] == (distance <= lead + 1))[~behind & ~unknown[0].numpy()].all()
    assert burned[1, 4, 6] == 0


def test_members_burn_as_often_as_is_probable():
    """A step burns the neighbours with probability 0.6: three members of five go on from there, two stay."""
    rollout = Rollout(Neighbours(0.6), 1, 3, None, "stochastic", 5, 0)
    burned = rollout(one_spark(), torch.zeros(1, 2, 2), torch.zeros(1, 9, 9, dtype=torch.bool))[0]
    assert burned[0, 4, 5] == pytest.approx(0.6)
    assert burned[1, 4, 5] == pytest.approx(0.6 + 0.4 * 0.6)
    assert burned[1, 4, 6] == pytest.approx(0.6 * 0.6)
    assert burned[1, 4, 4] == 1
    assert burned[1, 4, 7] == 0


def test_a_probability_fed_back_is_no_burned_area():
    """The network takes 0.4 for unburned, so that nothing goes on; 50 % would be burned."""
    batch, unknown = one_spark(), torch.zeros(1, 9, 9, dtype=torch.bool)
    for probability, two_away in ((0.4, 0.0), (0.7, 0.7)):
        rollout = Rollout(Neighbours(probability), 1, 3, None, "probability", 1, 0)
        burned = rollout(batch, torch.zeros(1, 2, 2), unknown)[0]
        assert burned[1, 4, 5] == pytest.approx(probability)
        assert burned[1, 4, 6] == pytest.approx(two_away)


def test_levels_are_drawn_evenly_and_by_seed():
    batch = one_spark()
    levels, other = (
        [
            float(level)
            for level in Rollout(Neighbours(), 1, 3, None, "stochastic", 8, seed)._levels(batch)
            if level is not None
        ]
        for seed in (1, 2)
    )
    assert [int(np.ceil(8 * level)) for level in levels] == list(range(1, 9))
    assert levels[0] != other[0]


def test_forecasts_of_several_steps(prepared):
    """The first lead is the forecast of one step; none falls, and none is made of what was not observed."""
    settings, layout = prepared
    train(settings, layout, 0, "cpu")
    one = open_forecasts(hindcast(settings, layout, 0, "tiny", "cpu")).load()
    several = changed(settings, forecast={"leads": 3, "members": 2})
    three = open_forecasts(hindcast(several, layout, 0, "tiny", "cpu")).load()
    assert three.sizes["lead"] == 3
    np.testing.assert_array_equal(three.probability[:, 0], one.probability[:, 0])
    known = three.probability.values
    with np.errstate(invalid="ignore"):
        assert not (np.diff(known, axis=1) < 0).any()
    fires = open_fires(layout.fires("tiny"))
    sizes = dict(zip(fires.fire_id.values.tolist(), fires.row_size.values.tolist(), strict=True))
    for k, (fire, step) in enumerate(zip(three.fire_id.values.tolist(), three.init_step.values.tolist(), strict=True)):
        observed = [step + lead < sizes[fire] for lead in (1, 2, 3)]
        assert (~np.isnan(known[k]).all((1, 2))).tolist() == observed
    hours = (three.valid_time - three.init_time).values.astype("timedelta64[s]").astype(int)
    assert (np.diff(hours, axis=1) == hours[:, :1]).all()
    every = changed(settings, forecast={"leads": 1, "every": 2})
    halved = open_forecasts(hindcast(every, layout, 0, "tiny", "cpu"))
    assert halved.init_step.values.tolist() == [step for step in one.init_step.values.tolist() if step % 2 == 0]
