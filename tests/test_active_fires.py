"""Fires that go out, with rasters that change from day to day: from files to scores."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import average_precision_score

from emberformer.baselines import write_baseline
from emberformer.checkpoint import build_model, load_model, open_landscapes
from emberformer.data.fires import open_fires
from emberformer.data.split import read_split
from emberformer.dataset import FireSteps, hidden_inputs, list_steps, terrain_rasters
from emberformer.distillation import keep_from
from emberformer.errors import InputError
from emberformer.evaluate.tables import evaluate
from emberformer.forecast import LoadedModel
from emberformer.forecast_store import open_forecasts
from emberformer.hindcast import hindcast
from emberformer.layout import Layout
from emberformer.model.emberformer import EmberFormer
from emberformer.model_settings import ModelSettings
from emberformer.network import SpreadNetwork
from emberformer.network_sizes import Sizes
from emberformer.settings import Settings, parse_settings
from emberformer.training import train
from emberformer.views import turned as in_view
from emberformer.views import turned_vector
from tests.stores import prepare, tiny_experiment
from tests.wsts_files import dates_from, made_days, write_geotiffs

SHAPE, DAYS = (28, 28), 5


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A network trained on made fires, its settings and paths."""
    folder = tmp_path_factory.mktemp("active")
    for number in range(6):
        days = made_days(DAYS, SHAPE if number else (20, 24), seed=number)  # one is smaller, and padded
        write_geotiffs(folder / "raw", f"2018/fire_{number}", dates_from("2018-06-01", DAYS), days)
    source = {"source": "wsts", "root": str(folder / "raw")}
    settings, layout = tiny_experiment(folder, datasets={"tiny": source})
    assert isinstance(settings, Settings)
    prepare(settings, layout)
    train(settings, layout, 0, "cpu")
    return settings, layout


def tiny_experiment_of(settings: Settings, **changes) -> dict:
    return settings.model_dump(mode="json") | changes


def test_every_known_pixel_is_forecast_and_none_is_held(trained):
    settings, layout = trained
    stored = open_forecasts(hindcast(settings, layout, 0, "tiny", "cpu")).load()
    fires = open_fires(layout.fires("tiny"))
    start = dict(zip(fires.fire_id.values.tolist(), fires.row_start.values.tolist(), strict=True))
    rows = [
        start[str(name)] + int(step) for name, step in zip(stored.fire_id.values, stored.init_step.values, strict=True)
    ]
    burned = fires.burned.values[rows]
    probability = stored.probability.values[:, 0]
    assert np.isfinite(probability).all()
    assert (probability[burned == 1] < 1).all()


def test_scores_are_those_of_all_known_pixels(trained):
    settings, layout = trained
    stores = {"network": {"tiny": hindcast(settings, layout, 0, "tiny", "cpu")}}
    stores["persistence"] = {"tiny": write_baseline(settings, layout, "persistence", "tiny")}
    evaluate(stores, {"tiny": layout.fires("tiny")}, layout.scores, settings.evaluation)
    scores, fires = pd.read_csv(layout.scores / "scores.csv"), open_fires(layout.fires("tiny"))
    for method, of in stores.items():
        stored = open_forecasts(of["tiny"]).load()
        stored = stored.isel(forecast=np.flatnonzero(stored.split.values == "test"))
        start = dict(zip(fires.fire_id.values.tolist(), fires.row_start.values.tolist(), strict=True))
        rows = [
            start[str(name)] + int(step) + 1
            for name, step in zip(stored.fire_id.values, stored.init_step.values, strict=True)
        ]
        target, probability = fires.burned.values[rows], stored.probability.values[:, 0]
        known = target != 255
        expected = average_precision_score(target[known], probability[known])
        chosen = (scores.method == method) & (scores.split == "test") & (scores.metric == "average_precision")
        found = scores[chosen & (scores.dataset == "tiny") & (scores.history == "all")]
        for region in ("new", "whole"):
            assert found.loc[found.region == region, "value"].to_numpy().item() == pytest.approx(expected, abs=4e-3)


def test_conditions_of_the_newest_frame_reach_the_network(trained):
    settings, layout = trained
    sizes = Sizes.of(layout, read_split(layout.split))
    assert sizes.conditions is not None
    fires = open_fires(layout.fires("tiny"))
    assert set(sizes.conditions.continuous) | set(sizes.conditions.angles) == set(fires.condition.values.tolist())
    (landscape,) = open_landscapes(layout, sizes)
    steps = list_steps([landscape], {"tiny": read_split(layout.split)["tiny"]}, "train")
    model = build_model(sizes, settings)
    batch = FireSteps([landscape], steps, 3, inputs=model.inputs).__getitems__([1])
    names = sizes.raster_channels
    assert batch["terrain_pixels"].shape[1] == len(names)
    row = int(landscape.row_start[steps[1].fire]) + steps[1].step
    name = next(iter(sizes.conditions.continuous))
    mean, deviation = sizes.conditions.continuous[name]
    values = fires.conditions[row].sel(condition=name).values
    expected = np.nan_to_num((values - mean) / deviation)
    np.testing.assert_allclose(batch["terrain_pixels"][0, names.index(name)].numpy(), expected, atol=1e-5)


def test_the_checkpoint_keeps_how_conditions_are_normalised(trained):
    _, layout = trained
    _, sizes, _, _ = load_model(layout.model(0) / "model.ckpt")
    assert sizes == Sizes.of(layout, read_split(layout.split))


def test_a_new_fire_does_not_tell_what_such_a_network_takes(trained):
    _, layout = trained
    with pytest.raises(InputError, match="a network of fires that go out"):
        LoadedModel.load(layout.model(0) / "model.ckpt")


@pytest.mark.parametrize("changes", [{"forecast": {"leads": 2}}, {"model": {"lead_times": 3}}])
def test_only_the_next_frame_can_be_forecast(trained, changes):
    with pytest.raises(InputError, match=r"forecast\.leads, model\.lead_times: only one frame ahead"):
        parse_settings(tiny_experiment_of(trained[0], **changes))


def test_fires_of_two_kinds_are_not_trained_on_together(trained):
    settings, _ = trained
    other = {"root": ".", "minutes_per_frame": 30, "bands": {"1": {"kind": "continuous"}}}
    content = tiny_experiment_of(settings)
    content["datasets"] = {**content["datasets"], "grown": other}
    with pytest.raises(InputError, match="datasets: some show what has burned and some what burns"):
        parse_settings(content)


@pytest.fixture(scope="module")
def opened(trained):
    """The fires, and two of their training steps."""
    _, layout = trained
    split = read_split(layout.split)
    (landscape,) = open_landscapes(layout, Sizes.of(layout, split))
    return landscape, list_steps([landscape], split, "train")[:2]


def test_slopes_of_patches_turn_though_a_condition_has_a_direction(opened):
    landscape, steps = opened
    inputs = ("terrain_means", "terrain_pixels")
    (east, north), direction = landscape.vectors
    assert direction[1] >= len(landscape.normaliser.channels)
    upright, turned = (FireSteps([landscape], steps, 3, flip=flip, inputs=inputs, seed=1) for flip in (False, True))
    views = [turned._sample(index).frames.view for index in range(len(steps))]
    assert any(views)
    for index, view in enumerate(views):
        means = upright[index]["terrain_means"].numpy()
        expected = turned_vector(means[east], means[north], view)
        found = turned[index]["terrain_means"].numpy()[[east, north]]
        assert all(np.array_equal(one, in_view(part, 0, view)) for one, part in zip(found, expected, strict=True))


def test_a_network_without_the_terrain_keeps_the_weather_of_the_day(opened):
    landscape, steps = opened
    names = ("terrain_pixels", "categories")
    of_terrain = terrain_rasters(landscape.normaliser)
    hidden = hidden_inputs(ModelSettings(terrain="none"))
    known, kept_from = (
        FireSteps([landscape], steps, 3, inputs=names, hidden=of).__getitems__([0]) for of in ((), hidden)
    )
    for name in names:
        own = of_terrain[name]
        assert known[name][:, :own].any()
        assert not kept_from[name][:, :own].any()
        assert torch.equal(kept_from[name][:, own:], known[name][:, own:])
    assert kept_from["terrain_pixels"].any()


def test_a_student_without_the_terrain_keeps_it_too(opened):
    class Sum(SpreadNetwork):
        def parts(self):
            return {}

        def forward(self, terrain_pixels, wind):
            return terrain_pixels.sum((0, 2, 3)), wind

    student, own = Sum(), terrain_rasters(opened[0].normaliser)["terrain_pixels"]
    keep_from(student, {"terrain_pixels"}, terrain_rasters(opened[0].normaliser))
    served, wind = torch.ones(1, own + 2, 3, 3), torch.ones(1, 2, 2)
    seen, told = student(terrain_pixels=served, wind=wind)
    assert seen.tolist() == [0] * own + [9, 9]
    assert torch.equal(told, wind)
    assert served.all()  # the teacher's


def test_rates_are_adjusted_only_where_burned_areas_grow(trained):
    """Where fires go out, the number of frames in which a pixel burns does not say in which."""
    settings, layout = trained
    assert settings.model.adjusts_rates
    network = build_model(Sizes.of(layout, read_split(layout.split)), settings)
    assert isinstance(network, EmberFormer)
    assert not network.refinement.adjusted
    without = settings.model_copy(update={"model": settings.model.model_copy(update={"rate_adjustment": False})})
    assert Layout(without).model_key() == layout.model_key()
