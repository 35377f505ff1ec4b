"""Baselines: each against its definition, the fitted ones against a search."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from emberformer.baselines import (
    Baseline,
    choose_radius,
    dilation,
    fit_baseline,
    fitting_datasets,
    forecast_block,
    write_baseline,
)
from emberformer.data.fires import observed, open_fires
from emberformer.data.split import make_split, write_split
from emberformer.errors import InputError
from emberformer.evaluate import scores
from emberformer.fire_steps import count_steps, fire_steps
from emberformer.forecast_store import open_forecasts
from tests.small_fires import disc, small_fires
from tests.stores import ingest_all, leaking, tiny_experiment

SHAPE = (15, 17)


def steps_of(*fires_of_frames, split="validation", **about):
    fires = small_fires({f"sequence_{k:03d}": frames for k, frames in enumerate(fires_of_frames)}, **about)
    return list(fire_steps(fires, dict.fromkeys(fires.fire_id.values.tolist(), split), [split]))


def test_steps_of_fires_in_order():
    frames = [disc(SHAPE, (7, 8), radius) for radius in (0.5, 1, 2, 3)]
    fires = small_fires({"sequence_001": frames, "sequence_002": frames[:1], "sequence_010": frames[1:3]}, wind=(1, 2))
    split = {"sequence_001": "test", "sequence_002": "test", "sequence_010": "validation"}
    steps = list(fire_steps(fires, split, ["test", "validation"], frames=3, bands=["other"]))
    assert [(s.fire_id, s.init_step, s.split, len(s.burned)) for s in steps] == [
        ("sequence_001", 0, "test", 1),
        ("sequence_001", 1, "test", 2),
        ("sequence_001", 2, "test", 3),
        ("sequence_010", 0, "validation", 1),
    ]
    assert count_steps(fires, split, ["test"]) == 3
    np.testing.assert_array_equal(steps[2].burned[0], frames[2])
    np.testing.assert_array_equal(steps[2].burned[2], frames[0])
    np.testing.assert_array_equal(steps[2].new_fire, np.where(frames[2] == 0, frames[3], 255))
    assert steps[2].init_time == fires["valid_time"].values[2]
    assert steps[0].wind == (1, 2)
    assert set(steps[0].terrain) == {"other"}


@pytest.mark.parametrize("radius", [0.5, 1.0, 1.5, 3.0])
def test_dilation_of_a_pixel_is_a_disc(radius):
    (step,) = steps_of([disc(SHAPE, (7, 8), 0), disc(SHAPE, (7, 8), 5)])
    np.testing.assert_array_equal(dilation(step, radius), disc(SHAPE, (7, 8), radius))


def test_radius_that_made_the_fires_is_found():
    """Fires that grow by a disc of 2.5 pixels: the dilation by 2.5 is perfect, and the smallest that is."""
    grown = [disc(SHAPE, (7, 8), 0), disc(SHAPE, (7, 8), 2.5)]
    still = [disc(SHAPE, (7, 8), 0), disc(SHAPE, (7, 8), 0)]
    assert choose_radius(steps_of(grown)) == 2.5
    assert choose_radius(steps_of(grown, grown, still)) == 2.5
    assert choose_radius(steps_of(still)) == 0.5


@settings(max_examples=30)
@given(arrays.arrays(np.uint8, (2, 6, 7), elements=st.sampled_from([0, 0, 0, 1, 255])))
def test_radius_is_the_best_of_all(frames):
    frames[0, 2, 3] = 1
    steps = steps_of(list(frames))

    def f1_of(radius):
        (step,) = steps
        return np.nan_to_num(scores.f1(dilation(step, radius), step.new_fire))

    chosen = choose_radius(steps)
    assert f1_of(chosen) == pytest.approx(max(f1_of(radius / 2) for radius in range(1, 20)))


def test_persistence_and_distance_by_hand():
    before, after = disc(SHAPE, (7, 8), 0), disc(SHAPE, (7, 8), 1)
    before[0, 0] = 255
    (step,) = steps_of([before, after])
    baselines = [fit_baseline(method, "small", {}, {}, 0) for method in ("persistence", "distance")]
    persistence, distance = (forecast_block([baseline], step) for baseline in baselines)
    assert np.isnan([persistence.probability[0, 0, 0], distance.probability[0, 0, 0]]).all()
    assert np.nansum(persistence.probability) == 1
    assert persistence.probability[0, 7, 8] == 1
    assert distance.probability[0, 7, 8] == 0
    assert distance.probability[0, 4, 12] == -5  # 3 rows, 4 columns
    assert [baseline.score_kind for baseline in baselines] == ["probability", "score"]
    assert not any(baseline.sees_wind for baseline in baselines)


def test_nothing_burned_yet():
    steps = steps_of([np.zeros(SHAPE), disc(SHAPE, (7, 8), 2)])
    for baseline in (fit_baseline("distance", "small", {}, {}, 0), Baseline(lambda step: dilation(step, 3.0), {})):
        block = forecast_block([baseline], steps[0])
        assert np.isfinite(block.probability).all()
        assert np.ptp(block.probability) == 0
    assert choose_radius(steps) > 0


def test_a_landscape_without_fires_to_fit_on_borrows_the_others():
    def fires(radius):
        return small_fires({"sequence_001": [disc(SHAPE, (7, 8), 0), disc(SHAPE, (7, 8), radius)]})

    stores = {"hills": fires(1.0), "plain": fires(2.0), "valley": fires(3.0)}
    split = {name: {"sequence_001": "test" if name == "valley" else "validation"} for name in stores}
    assert fitting_datasets("hills", stores, split, "validation") == ["hills"]
    assert fitting_datasets("valley", stores, split, "validation") == ["hills", "plain"]
    assert fit_baseline("dilation", "plain", stores, split, 0).fitted == {"radius_px": 2.0, "chosen_on": ["plain"]}
    assert fit_baseline("dilation", "valley", stores, split, 0).fitted["chosen_on"] == ["hills", "plain"]
    with pytest.raises(InputError, match="no steps of train fires"):
        fit_baseline("logistic", "valley", stores, split, 0)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    settings, layout = tiny_experiment(tmp_path_factory.mktemp("baselines"), {"tiny": (28, 42), "other": (30, 35)})
    ingest_all(settings, layout)
    fires = {name: open_fires(layout.fires(name)) for name in settings.datasets}
    write_split(layout.split, make_split(fires, settings.split))
    return settings, layout


@pytest.mark.parametrize("method", ["persistence", "dilation", "distance", "logistic"])
def test_every_step_of_validation_and_test_fires_is_forecast(experiment, method):
    settings, layout = experiment
    path = write_baseline(settings, layout, method, "tiny")
    assert path == layout.forecasts(method, "tiny")
    stored, fires = open_forecasts(path), open_fires(layout.fires("tiny"))
    assert set(stored.split.values) == {"validation", "test"}
    sizes = dict(zip(fires.fire_id.values, fires.row_size.values, strict=True))
    assert stored.sizes["forecast"] == sum(sizes[fire_id] - 1 for fire_id in set(stored.fire_id.values.tolist()))
    assert stored.attrs["sees_target_wind"] == (method == "logistic")
    starts = dict(zip(fires.fire_id.values.tolist(), fires.row_start.values.tolist(), strict=True))
    for k in range(stored.sizes["forecast"]):
        burned = observed(fires, starts[str(stored.fire_id.values[k])] + int(stored.init_step.values[k]))
        values = stored.probability[k, 0].values
        assert (values[burned == 1] == values.max()).all()
        assert np.isfinite(values).all()


def test_the_wind_is_not_of_the_step_when_the_source_gives_the_past_one(experiment):
    settings, layout = experiment
    weather = settings.datasets["tiny"].weather
    assert weather is not None
    source = settings.datasets["tiny"].model_copy(update={"weather": weather.model_copy(update={"row_offset": -1})})
    past = settings.model_copy(update={"datasets": {**settings.datasets, "tiny": source}})
    assert not open_forecasts(write_baseline(past, layout, "logistic", "tiny")).attrs["sees_target_wind"]


def test_unknown_baselines_are_named(experiment):
    with pytest.raises(InputError, match="persistence or dilation"):
        write_baseline(experiment[0], experiment[1], "oracle", "tiny")


def test_no_baseline_is_scored_on_fires_that_leak(experiment):
    settings, layout = experiment
    with leaking(layout), pytest.raises(InputError, match="burn alike"):
        write_baseline(settings, layout, "persistence", "tiny")


def test_a_baseline_for_each_lead_time():
    """The front moves a pixel a frame: a radius a frame wider for each lead, and nothing where nothing was observed."""
    frames = [disc(SHAPE, (7, 8), radius) for radius in (0.5, 1.5, 2.5, 3.5)]
    fires = {"small": small_fires({"sequence_001": frames})}
    split = {"small": {"sequence_001": "validation"}}
    by_lead = [fit_baseline("dilation", "small", fires, split, 0, lead) for lead in (1, 2)]
    radius = [float(str(of.fitted["radius_px"])) for of in by_lead]
    assert radius[1] > radius[0]
    steps = list(fire_steps(fires["small"], split["small"], ["validation"]))
    first, last = forecast_block(by_lead, steps[0]), forecast_block(by_lead, steps[-1])
    assert first.probability.shape == (2, *SHAPE)
    assert (first.probability[1] >= first.probability[0]).all()
    assert first.probability[1].sum() > first.probability[0].sum()
    assert np.isnan(last.probability[1]).all()
    assert np.isfinite(last.probability[0]).all()
    assert len(set(np.diff([first.init_time, *first.valid_time]).tolist())) == 1


def test_steps_some_frames_ahead():
    """What burns within two frames, by the mean of both winds."""
    frames = [disc(SHAPE, (7, 8), radius) for radius in (0.5, 1.5, 2.5)]
    fires = small_fires({"sequence_001": frames}, wind=(1, 2))
    fires["weather"][1] = [3, 6]
    (step,) = fire_steps(fires, {"sequence_001": "test"}, ["test"], lead=2)
    assert step.wind == (2, 4)
    assert step.seconds == 2 * fires.attrs["seconds_per_frame"]
    assert (step.new_fire == 1).sum() == frames[2].sum() - frames[0].sum()
    assert count_steps(fires, {"sequence_001": "test"}, ["test"], lead=2) == 1
