"""Direct forecasts of several lead times: what is served for each, how they are drawn, and that they are learned."""

from collections import Counter

import numpy as np
import pytest
import torch

from emberformer.checkpoint import build_model, load_model, model_inputs, open_landscapes
from emberformer.checks.first_batch import first_batch
from emberformer.checks.network import check_batch
from emberformer.data.fires import observed
from emberformer.data.split import read_split
from emberformer.dataset import FireSteps, Step, list_steps
from emberformer.finetuned_checkpoint import backbone_hash, encodings_of, fine_tuned
from emberformer.layout import Layout
from emberformer.losses import open_pixels
from emberformer.network_sizes import Sizes
from emberformer.overrides import changed
from emberformer.settings import Settings
from emberformer.training import train
from tests.losses_of import spread_loss
from tests.stores import prepare, tiny_experiment

INPUTS = ("wind", "valid_t", "fire_pixels", "lead")
TWO = {"model": {"lead_times": 2}}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Fires of five frames, with hidden states of two blocks in the store."""
    features = {"weights": "random", "architecture": "dinov2-tiny", "precision": "float32", "layers": (2, 3)}
    settings, layout = tiny_experiment(
        tmp_path_factory.mktemp("leads"), features={**features, "dtype": "float32"}, logging={"previews": 0}
    )
    prepare(settings, layout)
    split = read_split(layout.split)
    return settings, layout, split, open_landscapes(layout, Sizes.of(layout, split))


def test_a_target_is_the_frame_so_many_steps_ahead_and_its_wind_the_mean_until_then(data):
    _, _, split, landscapes = data
    landscape, fires = landscapes[0], landscapes[0].fires
    height, width = fires.sizes["y"], fires.sizes["x"]
    fire = list_steps(landscapes, split, "train")[0].fire
    row = int(landscape.row_start[fire]) + 1
    items = FireSteps(landscapes, [Step(0, fire, 1, lead) for lead in (1, 2, 3)], 3, inputs=INPUTS)
    for item, lead in ((items[lead - 1], lead) for lead in (1, 2, 3)):
        assert item["lead"].item() == lead
        assert np.array_equal(item["target"][:height, :width], observed(fires, row + lead))
        assert np.allclose(item["wind"][-1], landscape.wind[row : row + lead].mean(0) / 10)
        assert np.allclose(item["wind"][-2], landscape.wind[row - 1] / 10)
        assert np.array_equal(item["fire_pixels"][0, :height, :width], fires.burned[row].values == 1)


def test_beyond_the_last_frame_nothing_is_observed_and_the_wind_is_what_is_known_of_it(data):
    _, _, split, landscapes = data
    landscape = landscapes[0]
    fire = list_steps(landscapes, split, "train")[0].fire
    first, size = int(landscape.row_start[fire]), int(landscape.row_size[fire])
    step = size - 2
    items = FireSteps(landscapes, [Step(0, fire, step, lead) for lead in (1, 2, 4)], 3, inputs=INPUTS)
    to_the_end = landscape.wind[first + step : first + size]
    assert (items[0]["target"] != 255).any()
    for index in (1, 2):
        assert (items[index]["target"] == 255).all()
        assert np.allclose(items[index]["wind"][-1], to_the_end.mean(0) / 10)


def test_the_wind_ahead_by_hand(data):
    landscape = data[3][0]
    winds, foresees = landscape.wind, landscape.foresees_wind
    known = winds.copy()
    known[:4] = [[4.0, 0.0], [0.0, 2.0], [np.nan, np.nan], [2.0, 4.0]]
    known[int(landscape.row_size[0]) - 1] = np.nan  # as where a weather table ends
    assert landscape.row_start[0] == 0
    try:
        landscape.wind = known
        assert landscape.wind_ahead(0, 0, 1).tolist() == [4, 0]
        assert landscape.wind_ahead(0, 0, 2).tolist() == [2, 1]
        assert landscape.wind_ahead(0, 1, 2).tolist() == [0, 2]  # over what is known
        assert landscape.wind_ahead(0, 0, 9).tolist() == [2, 2]  # and not beyond the fire
        assert np.isnan(landscape.wind_ahead(0, 2, 1)).all()
        landscape.foresees_wind = False
        assert landscape.wind_ahead(0, 0, 3).tolist() == [4, 0]
    finally:
        landscape.wind, landscape.foresees_wind = winds, foresees


def test_the_wind_to_come_is_seen_only_where_the_data_say_so(data):
    settings, layout, split, landscapes = data
    assert landscapes[0].foresees_wind
    source = settings.datasets["tiny"]
    assert source.weather is not None
    past = source.model_copy(update={"weather": source.weather.model_copy(update={"row_offset": -1})})
    of_past = Layout(settings.model_copy(update={"datasets": {"tiny": past}}))
    (landscape,) = open_landscapes(of_past, Sizes.of(layout, split))
    assert not landscape.foresees_wind


def test_leads_are_drawn_from_the_index_and_the_epoch_as_far_as_fires_go(data):
    _, _, split, landscapes = data
    steps = list_steps(landscapes, split, "train")
    drawn, again = (FireSteps(landscapes, steps, 3, crop=2, inputs=INPUTS, seed=4, lead_times=3) for _ in range(2))
    torch.manual_seed(0)
    leads = [int(drawn[n]["lead"]) for n in range(len(steps))]
    assert leads == [int(again[n]["lead"]) for n in reversed(range(len(steps)))][::-1]
    assert set(leads) == {1, 2, 3}
    left = [int(landscapes[0].row_size[step.fire]) - 1 - step.step for step in steps]
    assert all(lead <= most for lead, most in zip(leads, left, strict=True))
    for index, (step, lead) in enumerate(zip(steps, leads, strict=True)):
        row = int(landscapes[0].row_start[step.fire]) + step.step
        burned = observed(landscapes[0].fires, row + lead)
        assert (drawn[index]["target"] == 1).sum() <= (burned == 1).sum()
    drawn.epoch = 1
    assert leads != [int(drawn[n]["lead"]) for n in range(len(steps))]


def test_leads_of_validation_take_turns_over_all_parts_of_a_fire(data):
    _, _, split, landscapes = data
    plain = list_steps(landscapes, split, "train")
    assert {step.lead for step in plain} == {1}
    steps = list_steps(landscapes, split, "train", lead_times=2)
    assert [(s.fire, s.step) for s in steps] == [(s.fire, s.step) for s in plain]
    first, second = (
        [s.lead for s in steps if s.fire == fire] for fire in list(dict.fromkeys(s.fire for s in steps))[:2]
    )
    assert (first, second) == ([1, 2, 1, 1], [2, 1, 2, 1])  # of five frames the last step has one frame left
    few = Counter(s.lead for s in list_steps(landscapes, split, "train", 2, lead_times=3))
    assert set(few) == {1, 2, 3}


def settings_of(data, **changes) -> tuple[Settings, Layout]:
    settings = changed(data[0], {**TWO, **changes})
    return settings, Layout(settings)


def test_a_network_of_two_lead_times_is_trained_and_phase_2_begins_with_its_forecast(data):
    settings, layout = settings_of(
        data, training={"epochs": 1, "crop": 2}, phase2={"path": "tail", "blocks": 2, "epochs": 1}
    )
    assert layout.model_key() != data[1].model_key()
    path = train(settings, layout, 0, "cpu")
    parent, _, kept, _ = load_model(path)
    assert kept.model.lead_times == 2
    assert "lead" in parent.inputs
    landscapes = data[3]
    encodings, weights = encodings_of(landscapes), backbone_hash(layout, landscapes)
    network = fine_tuned(parent, settings, "phase2", encodings, weights, layout.config).eval()
    steps = [Step(0, 0, step, lead) for step in (1, 2) for lead in (1, 2)]
    found = []
    for one in (network, parent):
        items = FireSteps(landscapes, steps, 3, 2, True, 5, inputs=one.inputs, block=one.block)
        with torch.no_grad():
            found.append(one(**model_inputs(one, items.__getitems__([0, 1, 2, 3]))))
    assert (found[0] - found[1]).abs().max() < 1e-4


@pytest.mark.parametrize(
    ("phase", "student", "leads"),
    [("phase1", "unet", {1, 2}), ("student", "unet", {1}), ("student", "emberformer", {1, 2})],
)
def test_every_part_learns_from_the_lead_times_that_its_network_has(data, phase, student, leads):
    """A U-Net learns from its teacher's forecasts of the next frame alone."""
    small = {"network": student, **({} if student == "unet" else {"fire": "stem", "terrain": "conv", "d_model": 16})}
    settings, layout = settings_of(data, training={"batch_size": 9}, distillation={"model": small})
    first = first_batch(settings, layout, "cpu", phase)
    assert set(first.batch["lead"].tolist()) == leads
    assert {finding.level for finding in check_batch(first)} == {"OK"}


def test_a_student_has_the_lead_times_of_its_teacher_where_it_can(data):
    for student, expected in (({"network": "unet"}, 1), ({"network": "emberformer", "d_model": 16}, 2)):
        settings, _ = settings_of(data, distillation={"model": student})
        assert settings.of_student().model.lead_times == expected


@pytest.mark.slow
def test_it_learns_growth_of_one_step_and_of_two_by_heart(data):
    """From the same frame and without wind, so that the lead time alone can tell the two forecasts apart."""
    _, _, split, landscapes = data
    settings, layout = settings_of(data)
    torch.manual_seed(0)
    model = build_model(Sizes.of(layout, split), settings)
    fire = list_steps(landscapes, split, "train")[0].fire
    steps = [Step(0, fire, 1, lead) for lead in (1, 2)]
    items = FireSteps(landscapes, steps, settings.model.history, inputs=model.inputs, hidden=("wind",))
    batch = items.__getitems__([0, 1])
    optimizer = torch.optim.AdamW(model.parameters(), 5e-3)
    counted = open_pixels(batch["target"], batch["fire_pixels"][:, 0])
    for step in range(300):
        optimizer.zero_grad()
        spread_loss(model(**model_inputs(model, batch)), batch["target"], counted, 1.0, 0.1).backward()
        optimizer.step()
        if step % 10 == 9 and min(scores(model, batch, counted)) > 0.95:
            return
    pytest.fail("it does not know two forecasts of a fire after 300 repetitions")


def scores(model, batch, counted) -> list[float]:
    """New-fire F1 of each item."""
    with torch.no_grad():
        burned = model.eval()(**model_inputs(model, batch)) > 0
    target = batch["target"] == 1
    return [
        float(2 * (b & t & c).sum() / ((b & c).sum() + (t & c).sum()))
        for b, t, c in zip(burned, target, counted, strict=True)
    ]
