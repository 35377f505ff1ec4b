"""Verification sums: bins, hand-worked counts, and scores from sums against scores of the pixels themselves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from emberformer.errors import InputError
from emberformer.evaluate import scores
from emberformer.evaluate.pooling import Score, choose_threshold, fire_table, scores_of
from emberformer.evaluate.verification import BINS, CENTRE, Selection, bin_edges, bin_index, sums_of
from emberformer.forecast_store import ForecastBlock, open_forecasts, write_forecasts
from tests.evaluate.small_forecasts import SHAPE, forecasts_of, random_values
from tests.small_fires import disc, small_fires

EDGES = {kind: bin_edges(kind) for kind in ("probability", "score")}


@pytest.fixture
def fires():
    """Two fires of growing discs; in the second a strip is unknown, at times."""
    first = [disc(SHAPE, (6, 6), radius) for radius in (1, 2, 3.5, 4, 5, 6, 6.5)]
    second = [disc(SHAPE, (5, 9), radius) for radius in (0.5, 3, 4)]
    second[1][:, -5:] = 255
    second[2][:2] = 255
    return small_fires({"sequence_001": first, "sequence_002": second})


def pixels(fires, forecasts):
    """Forecast and observation of all new-fire pixels, and the number of pixels burned at the initial time."""
    forecast, observed, burned_before = [], [], 0
    starts = dict(zip(fires.fire_id.values, fires.row_start.values, strict=True))
    for k in range(forecasts.sizes["forecast"]):
        row = starts[forecasts.fire_id.values[k]] + forecasts.init_step.values[k]
        burned, target = fires.burned[row].values, fires.burned[row + 1].values
        new_fire = (burned == 0) & (target != 255)
        forecast.append(forecasts.probability[k, 0].values[new_fire])
        observed.append(target[new_fire])
        burned_before += ((burned == 1) & (target != 255)).sum()
    return np.concatenate(forecast), np.concatenate(observed), burned_before


@given(st.floats(0, 1, width=32))
def test_a_probability_lies_in_its_bin(p):
    k = int(bin_index(np.array([p]), "probability")[0])
    edges = EDGES["probability"]
    assert k == 0 or edges[k] <= p * (1 + 1e-12)
    assert k == BINS - 1 or p < edges[k + 1] * (1 + 1e-12)


def test_threshold_one_half_is_an_edge():
    half = np.float32(0.5)
    assert bin_index(np.array([np.nextafter(half, np.float32(0)), half]), "probability").tolist() == [
        CENTRE - 1,
        CENTRE,
    ]
    assert EDGES["probability"][CENTRE] == 0.5
    assert EDGES["score"][CENTRE] == 0
    assert bin_index(np.array([0.0, 1.0]), "probability").tolist() == [0, BINS - 1]


@given(st.lists(st.floats(-1e5, 1e5), min_size=2))
def test_bins_keep_the_order_of_scores(values):
    k = bin_index(np.sort(np.array(values)), "score")
    assert (np.diff(k) >= 0).all()
    assert k.min() >= 0
    assert k.max() < BINS


def binned_average_precision(forecast, observed, kind):
    place = bin_index(forecast.astype(np.float32), kind)
    return scores.average_precision_of_counts(
        np.stack([np.bincount(place[observed == o], minlength=BINS) for o in (0, 1)])
    )


@pytest.mark.parametrize("sharpness", [0.3, 1.0, 4.0])
def test_error_of_binning_probabilities(sharpness):
    """Against the exact average precision: rare, noisy events, from hard to easy."""
    rng = np.random.default_rng(0)
    signal = rng.normal(size=100_000)
    observed = signal + rng.normal(size=signal.size) / sharpness > 2.5 * np.hypot(1, 1 / sharpness)
    forecast = 1 / (1 + np.exp(-4 * (signal - 2)))
    exact = average_precision_score(observed, forecast)
    assert binned_average_precision(forecast, observed, "probability") == pytest.approx(exact, abs=1e-3)


@pytest.mark.parametrize("growth", [1.0, 4.0, 16.0])
def test_error_of_binning_distances(growth):
    """Distances on a grid of 300 x 300, from the middle; growth in pixels."""
    rows, columns = np.indices((300, 300))
    distance = np.hypot(rows - 150, columns - 150).ravel()[(rows != 150).ravel()]
    observed = distance < np.random.default_rng(0).exponential(growth, distance.size)
    exact = average_precision_score(observed, -distance)
    assert binned_average_precision(-distance, observed, "score") == pytest.approx(exact, abs=1e-3)


def test_counts_by_hand(tmp_path, fires):
    """A forecast of 0.8 within 3.6 pixels of the first fire's centre, 0.1 elsewhere."""
    near = disc(SHAPE, (6, 6), 3.6) == 1
    sums = sums_of(forecasts_of(tmp_path / "f.zarr", fires, lambda *_: np.where(near, 0.8, 0.1)), fires)
    assert sums.fires == {"sequence_001": "test", "sequence_002": "test"}
    assert sums.about.history.tolist() == [1, 2, 3, 4, 5, 5, 1, 2]  # six steps, two of them in "5 or more"
    burned = [int(frame.sum()) for frame in fires.burned.values[:7]]
    assert sums.burned.tolist()[:6] == burned[:6]
    of_history = fire_table([sums], Selection("test", 1, ("history", 5)))
    assert of_history.steps.tolist() == [2, 0]
    assert of_history.burned.tolist() == [burned[4] + burned[5], 0]
    counts = sums.count.toarray().reshape(-1, 2, BINS)
    second_step = counts[1]  # radius 2 -> 3.5, all of it forecast; 3.6 holds no pixel more
    high, low = bin_index(np.array([0.8, 0.1], np.float32), "probability")
    assert second_step[1, high] == burned[2] - burned[1]
    assert second_step[0, low] == np.prod(SHAPE) - burned[2]
    assert second_step.sum() == np.prod(SHAPE) - burned[1]
    unknown = 5 * SHAPE[0]
    assert counts[6].sum() == np.prod(SHAPE) - unknown - int((fires.burned.values[7] == 1).sum())


@pytest.mark.parametrize("kind", ["probability", "score"])
def test_scores_of_sums_are_scores_of_pixels(tmp_path, fires, kind):
    values = random_values if kind == "probability" else lambda *of: -30 * random_values(*of) - 1
    stored = forecasts_of(tmp_path / "f.zarr", fires, values, kind)
    table = fire_table([sums_of(stored, fires)], Selection("test"))
    found = scores_of(table, np.ones((1, 2)), kind, CENTRE - 20)
    threshold = float(EDGES[kind][CENTRE - 20])
    forecast, observed, burned = pixels(fires, stored)
    whole_forecast = np.concatenate([forecast, np.ones(burned)])
    whole_observed = np.concatenate([observed, np.ones(burned)])
    for region, (f, o) in {"new": (forecast, observed), "whole": (whole_forecast, whole_observed)}.items():
        assert found[Score(region, "", "average_precision")][0] == pytest.approx(
            scores.average_precision(f, o), abs=4e-3
        )
        assert found[Score(region, "", "prevalence")][0] == pytest.approx(o.mean())
        for name in ("f1", "iou", "precision", "recall", "frequency_bias"):
            exact = getattr(scores, name)
            assert found[Score(region, "validation", name)][0] == pytest.approx(exact(f, o, threshold), nan_ok=True)
            if kind == "probability":
                assert found[Score(region, "0.5", name)][0] == pytest.approx(exact(f, o))
        if kind == "probability":
            assert found[Score(region, "", "brier")][0] == pytest.approx(scores.brier(f, o))
            assert found[Score(region, "", "brier_skill")][0] == pytest.approx(scores.brier_skill(f, o))
            nll = pytest.approx(scores.negative_log_likelihood(f, o), rel=1e-4 if region == "whole" else 1e-9)
            assert found[Score(region, "", "nll")][0] == nll  # sure and right costs nothing; clipped, 1e-6
            assert found[Score(region, "", "ece")][0] == pytest.approx(scores.expected_calibration_error(f, o))
    if kind == "score":
        assert not any(
            score.metric in ("brier", "brier_skill", "nll", "ece") or score.threshold == "0.5" for score in found
        )


def test_pools_are_sums_of_fires(tmp_path, fires):
    """A pool with fire 1 twice is the pool of a store in which fire 1 stands twice."""
    sums = sums_of(forecasts_of(tmp_path / "f.zarr", fires, random_values), fires)
    table = fire_table([sums], Selection("test"))
    first = sums._replace(fires={"sequence_001": "test"})
    twice = fire_table([sums, first], Selection("test"))
    weighted = scores_of(table, np.array([[2.0, 1.0]]), "probability", 900)
    repeated = scores_of(twice, np.ones((1, 3)), "probability", 900)
    assert weighted.keys() == repeated.keys()
    for score, values in weighted.items():
        np.testing.assert_allclose(values, repeated[score], err_msg=str(score))


def test_threshold_of_highest_f1(tmp_path, fires):
    """Against a search over every forecast value."""
    stored = forecasts_of(tmp_path / "f.zarr", fires, lambda *of: np.round(random_values(*of), 1))
    count = sums_of(stored, fires).count.toarray().sum(0).reshape(2, BINS)
    forecast, observed, _ = pixels(fires, stored)
    best = max(scores.f1(forecast, observed, value) for value in np.unique(forecast)[1:].tolist())
    chosen = choose_threshold(count)
    assert chosen is not None
    threshold = float(EDGES["probability"][chosen])
    assert scores.f1(forecast, observed, threshold) == pytest.approx(best)


def test_threshold_of_forecasts_without_skill():
    count = np.zeros((2, BINS))
    assert choose_threshold(count) is None
    count[:, 0] = 90, 10  # nothing is ever forecast, as by persistence: every threshold is alike
    assert choose_threshold(count) == CENTRE
    count[:, -1] = 5, 5  # 0 or 1, as by dilation
    assert choose_threshold(count) == CENTRE


def test_a_hole_in_the_forecasts_is_an_error(tmp_path, fires):
    """A deleted chunk reads as NaN; that must not pass for unknown data."""
    stored = forecasts_of(tmp_path / "f.zarr", fires, random_values)
    stored["probability"] = stored.probability.where(stored.forecast != 3)
    with pytest.raises(InputError, match=r"NaN.*sequence_001 from step 3"):
        sums_of(stored, fires)


def test_stores_that_do_not_belong_together(tmp_path, fires):
    stored = forecasts_of(tmp_path / "f.zarr", fires, random_values)
    with pytest.raises(InputError, match="sequence_002"):
        sums_of(stored, fires.isel(fire=[0]))
    with pytest.raises(InputError, match="12 x 15"):
        sums_of(stored, fires.isel(x=slice(14)))


def test_what_is_no_probability(tmp_path, fires):
    stored = forecasts_of(tmp_path / "f.zarr", fires, random_values)
    stored["probability"] = stored.probability * 100
    with pytest.raises(InputError, match=r"probabilities from .* for sequence_001 from step 0"):
        sums_of(stored, fires)


def test_where_fires_go_out_all_known_pixels_are_scored(tmp_path):
    """What burned is no hit for nothing: half of it goes out, and that counts as a false alarm of persistence."""
    rng = np.random.default_rng(3)
    frames = [(rng.random(SHAPE) < 0.4).astype(np.uint8) for _ in range(3)]
    frames[0][0, 0], frames[1][0, 1] = 255, 255  # unknown before, but known and scored after; unknown after
    fires = small_fires({"a": frames}, fire_kind="active")
    times = fires.valid_time.values
    values = [rng.random(SHAPE, np.float32) for _ in range(2)]
    blocks = [ForecastBlock("a", "test", k, times[k], times[k + 1 : k + 2], values[k][None]) for k in range(2)]
    about = {"method": "m", "dataset": "small", "score_kind": "probability", "provenance": {}}
    write_forecasts(tmp_path / "m.zarr", blocks, shape=(1, *SHAPE), sees_target_wind=False, **about)
    sums = sums_of(open_forecasts(tmp_path / "m.zarr"), fires)
    known = [frame != 255 for frame in frames[1:]]
    assert sums.count.sum() == sum(int(of.sum()) for of in known)
    assert (sums.burned == 0).all()
    found = scores_of(fire_table([sums], Selection("test")), np.ones((1, 1)), "probability", CENTRE)
    pixels = np.concatenate([of[seen] for of, seen in zip(values, known, strict=True)])
    target = np.concatenate([frame[seen] for frame, seen in zip(frames[1:], known, strict=True)])
    for region in ("new", "whole"):
        ours = found[Score(region, "", "average_precision")][0]
        assert ours == pytest.approx(average_precision_score(target, pixels), abs=4e-3)
