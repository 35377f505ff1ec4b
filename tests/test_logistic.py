"""The regression: its features by hand, and what it learns from fires whose law is known."""

import numpy as np
import pytest

from emberformer.errors import InputError
from emberformer.evaluate import scores
from emberformer.fire_steps import fire_steps
from emberformer.geometry import distance_to
from emberformer.logistic import Plan, describe, fit_logistic
from tests.small_fires import disc, small_fires

SHAPE = (40, 44)
CELL_M, SECONDS = 30.0, 600.0  # a pixel a step is 0.05 m s-1
PLAN = Plan(reach=0.2, knots=(0.1,), wind=True, bands=("elevation", "fuel_model", "burnable"), fuels=(1.0, 2.0))


def a_step(wind=(0.0, 0.0), frames=None, **terrain):
    flat = {"elevation": np.zeros(SHAPE), "fuel_model": np.ones(SHAPE), "burnable": np.ones(SHAPE), **terrain}
    frames = frames or [disc(SHAPE, (20, 20), 0), disc(SHAPE, (20, 20), 2)]
    fires = small_fires({"sequence_001": frames}, wind=wind, terrain=flat, cell_m=CELL_M, seconds=SECONDS)
    return list(fire_steps(fires, {"sequence_001": "train"}, ["train"], frames=4, bands=PLAN.bands))[-1]


def at(pixels, row, column):
    (place,) = np.flatnonzero((pixels.row == row) & (pixels.column == column))
    return {name: float(values[place]) for name, values in pixels.features.items()}


def test_every_unburned_pixel_within_reach_is_described_once():
    step = a_step()
    pixels = describe(step, PLAN)
    found = np.zeros(SHAPE, int)
    np.add.at(found, (pixels.row, pixels.column), 1)
    distance = distance_to(step.burned[0] == 1)
    np.testing.assert_array_equal(found, (distance > 0) & (distance <= 4))


def test_wind_along_the_way_by_hand():
    """Wind of 5 m s-1 towards the east pushes east, not north; rows run south."""
    pixels = describe(a_step(wind=(5.0, 0.0)), PLAN)
    east, west, north, south = (at(pixels, *place) for place in ((20, 23), (20, 17), (17, 20), (23, 20)))
    assert [f["tailwind"] for f in (east, west, north, south)] == pytest.approx([0.5, -0.5, 0, 0])
    assert [f["crosswind"] for f in (east, west, north, south)] == pytest.approx([0, 0, 0.5, 0.5])
    assert at(describe(a_step(wind=(0.0, 5.0)), PLAN), 17, 20)["tailwind"] == pytest.approx(0.5)  # north is up
    assert east["rate"] == pytest.approx(3 * 0.05)
    assert east["rate_beyond_0"] == pytest.approx(0.05)
    assert east["speed"] == 0.5


def test_terrain_along_the_way_by_hand():
    columns = np.indices(SHAPE)[1]
    fuel = np.where(columns > 20, 2.0, 1.0)
    burnable = np.where(columns == 22, np.nan, 1.0)
    pixels = describe(a_step(elevation=6.0 * columns, fuel_model=fuel, burnable=burnable), PLAN)
    east, west, north = (at(pixels, *place) for place in ((20, 22), (20, 18), (18, 20)))
    assert [f["slope_along"] for f in (east, west, north)] == pytest.approx([6 / 30, -6 / 30, 0])
    assert (east["fuel_1"], east["fuel_2"], east["from_fuel_1"], east["from_fuel_2"]) == (0, 1, 1, 0)
    assert [f["barrier"] for f in (east, west)] == [1, 0]
    assert east["barrier_share_3"] == pytest.approx(3 / 9)


def test_age_of_the_front_by_hand():
    """The west of the front has stood for three steps, the east burned in the last."""
    first = disc(SHAPE, (20, 20), 0)
    last = first.copy()
    last[20, 21:24] = 1
    pixels = describe(a_step(frames=[first, first, first, last, last]), PLAN)
    west, east = at(pixels, 20, 19), at(pixels, 20, 24)
    assert [west[f"front_age_{age}"] for age in (1, 2, 3)] == [0, 0, 1]
    assert [east[f"front_age_{age}"] for age in (1, 2, 3)] == [0, 0, 0]
    assert west["fresh_rate"] == pytest.approx(2 * 0.05)
    assert east["fresh_rate"] == pytest.approx(0.05)


def drifting_fires(count, wind, seed, **about):
    """Fires that grow round and drift a pixel and a half a step with the wind, with ragged edges."""
    rng = np.random.default_rng(seed)
    fires = {}
    for k in range(count):
        centre = np.array([20.0, 14.0])
        frames = [disc(SHAPE, tuple(centre), 2)]
        for _ in range(6):
            centre += np.array([-wind[1], wind[0]]) * 0.3
            ragged = disc(SHAPE, tuple(centre), 3 + len(frames) * 0.7) * (rng.random(SHAPE) < 0.8)
            frames.append(np.maximum(frames[-1], ragged))
        fires[f"sequence_{k:03d}"] = frames
    return small_fires(fires, wind=wind, cell_m=CELL_M, seconds=SECONDS, **about)


def pooled(regression, fires, split):
    forecast, observed = [], []
    for step in fire_steps(fires, split, ["train"], frames=4, bands=regression.plan.bands):
        known = step.new_fire != 255
        forecast.append(regression.forecast(step)[known])
        observed.append(step.new_fire[known])
    return np.concatenate(forecast), np.concatenate(observed)


@pytest.fixture(scope="module")
def drifting():
    fires = drifting_fires(8, (5.0, 0.0), 0)
    split = dict.fromkeys(fires.fire_id.values.tolist(), "train")
    return fires, split, fit_logistic({"small": (fires, split)}, fires, 0)


def test_it_learns_where_fires_go(drifting):
    _, split, regression = drifting
    new = drifting_fires(3, (5.0, 0.0), 9)
    forecast, observed = pooled(regression, new, split)
    steps = list(fire_steps(new, split, ["train"]))
    distance = np.concatenate([-distance_to(s.burned[0] == 1)[s.new_fire != 255] for s in steps])
    assert scores.average_precision(forecast, observed) > scores.average_precision(distance, observed) + 0.1


def test_its_probabilities_are_calibrated(drifting):
    """The sample holds far more burned pixels than the fires do; the weights must undo that."""
    forecast, observed = pooled(drifting[2], *drifting[:2])
    assert forecast.sum() == pytest.approx(observed.sum(), rel=0.1)
    assert scores.expected_calibration_error(forecast, observed) < 0.02


def test_beyond_reach_is_one_small_probability(drifting):
    fires, split, regression = drifting
    step = next(fire_steps(fires, split, ["train"], frames=4))
    far = distance_to(step.burned[0] == 1) * CELL_M / SECONDS > regression.plan.reach
    assert far.any()
    assert np.unique(regression.forecast(step)[far]) == pytest.approx(regression.beyond)
    assert 0 < regression.beyond < 0.01


def test_same_seed_same_fit(drifting):
    fires, split, regression = drifting
    again = fit_logistic({"small": (fires, split)}, fires, 0)
    assert again.description == regression.description


def test_only_training_fires_count(drifting):
    fires, split, _ = drifting
    some = {fire_id: "train" if k < 4 else "test" for k, fire_id in enumerate(split)}
    changed = fires.copy(deep=True)
    changed.burned[int(fires.row_start[4]) :] = 0  # what the test fires did
    fits = [fit_logistic({"small": (store, some)}, store, 0).description for store in (fires, changed)]
    assert fits[0] == fits[1]


def test_what_a_source_lacks_is_left_out_and_said(drifting):
    fires, split, regression = drifting
    assert regression.description["left_out"] == ["elevation", "fuel_model", "burnable"]
    calm = fires.copy(deep=True)
    calm["weather"][:] = np.nan
    without = fit_logistic({"small": (calm, split)}, calm, 0)
    assert without.description["left_out"][0] == "wind"
    assert not any("wind" in name for name in without.description["coefficients_of_standardised_features"])
    calm["weather"][:14] = 1
    assert fit_logistic({"small": (calm, split)}, calm, 0).description["steps_without_wind"] == 48 - 12


def test_nothing_burned_yet(drifting):
    fires = small_fires({"sequence_001": [np.zeros(SHAPE), disc(SHAPE, (9, 9), 2)]}, cell_m=CELL_M, seconds=SECONDS)
    (step,) = fire_steps(fires, {"sequence_001": "train"}, ["train"], frames=4)
    assert np.unique(drifting[2].forecast(step)) == pytest.approx(drifting[2].beyond)
    with pytest.raises(InputError, match="no pixel that burns"):
        fit_logistic({"small": (fires, {"sequence_001": "train"})}, fires, 0)
