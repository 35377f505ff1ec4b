"""Verdicts by hand: intervals that lie above, below and about the margin."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from emberformer.evaluate.curves import epochs_to_target, read_curve, train_validation_gap
from emberformer.evaluate.hypotheses import Values, curve_values, judge, score_values, student_interval
from emberformer.evaluate.pooling import Score
from emberformer.evaluate.rows import Group, MethodScores, Size
from emberformer.evaluate.studies import summarise
from emberformer.evaluate.verdict_pages import verdict_rows
from emberformer.experiments import Hypothesis

REPLICATES = np.linspace(-0.02, 0.02, 101)  # 95 % of them lie within 0.019


def claim(**changes):
    return Hypothesis.model_validate({"claim": "c", "better": "a", "than": "b", **changes})


def values(difference: float, than: float = 0.5, fires: int = 20) -> Values:
    """One seed; `than` is the same in all resamples, the difference varies by 0.02."""
    other = np.full((1, 102), than)
    return Values(other + difference + np.concatenate([[0], REPLICATES]), other, fires)


@pytest.mark.parametrize(
    ("difference", "by", "verdict"),
    [
        (0.03, 0.0, "supported"),
        (0.03, 0.02, "undecided"),  # better for sure, but by so much only perhaps
        (0.03, 0.05, "refuted"),
        (0.01, 0.0, "undecided"),
        (-0.03, 0.0, "refuted"),
        (-0.01, -0.04, "supported"),  # no worse than by 0.04
    ],
)
def test_verdict_by_the_interval(difference, by, verdict):
    found = judge(claim(by=by), values(difference))
    assert found.verdict == verdict
    assert found.difference == pytest.approx(difference)
    assert (found.low, found.high) == pytest.approx((difference - 0.019, difference + 0.019))
    assert (found.margin, found.seeds, found.seeds_above) == (by, 1, int(difference > by))


def test_lower_may_be_better():
    assert judge(claim(metric="brier"), values(-0.03)).verdict == "supported"
    assert judge(claim(metric="brier"), values(0.03)).verdict == "refuted"


def test_margin_as_a_share():
    assert judge(claim(by=0.1, unit="of_error"), values(0.05, than=0.8)).margin == pytest.approx(0.02)
    assert judge(claim(by=0.1, unit="of_error"), values(0.05, than=0.8)).verdict == "supported"
    assert judge(claim(by=0.1, unit="of_value"), values(0.05, than=0.8)).margin == pytest.approx(0.08)
    assert judge(claim(by=0.1, unit="of_value"), values(0.05, than=0.8)).verdict == "refuted"


def test_a_margin_that_is_a_share_varies_with_the_other_method():
    than = np.concatenate([[0.5], np.repeat([0.4, 0.6], 50)])[None]
    found = judge(claim(by=0.2, unit="of_error"), Values(than + 0.1, than, 20))
    assert (found.low, found.high) == pytest.approx((0.1, 0.1))  # the difference itself is sure
    assert found.verdict == "undecided"  # but a fifth of what is missing is 0.12 or 0.08


def test_without_an_interval_nothing_is_decided():
    assert judge(claim(), values(0.3, fires=1)).verdict == "undecided"
    undefined = np.full((1, 1), np.nan)
    assert judge(claim(), Values(undefined, undefined, 20)).verdict == "undecided"


def test_seeds_are_averaged_resample_by_resample():
    better = np.array([[0.7, 0.8, 0.6], [0.5, 0.4, 0.6]])
    than = np.full((2, 3), 0.5)
    found = judge(claim(), Values(better, than, 9))
    assert found.difference == pytest.approx(0.1)
    assert (found.low, found.high) == pytest.approx((0.1, 0.1))
    assert found.seed_sd == pytest.approx(np.std([0.2, 0.0], ddof=1))
    assert (found.seeds_above, found.seeds) == (1, 2)


def result(test: np.ndarray, validation: np.ndarray) -> MethodScores:
    groups = {
        Group("all", "test", 1, "all"): test,
        Group("all", "test", 1, "5"): test / 2,
        Group("all", "validation", 1, "all"): validation,
    }
    scores: dict = {group: {Score("new", "", "average_precision"): numbers} for group, numbers in groups.items()}
    return MethodScores(scores, {group: Size(7, 9) for group in groups}, pd.DataFrame(), pd.DataFrame(), {})


def test_scores_of_a_group_and_the_held_out_gap():
    better = result(np.array([0.6, 0.5]), np.array([0.7, 0.7]))
    than = result(np.array([0.4, 0.4]), np.array([0.8, 0.8]))
    found = score_values(claim(history="5"), [better], [than])
    assert (found.better.tolist(), found.than.tolist(), found.fires) == ([[0.3, 0.25]], [[0.2, 0.2]], 7)
    gaps = score_values(claim(metric="held_out_gap"), [better], [than])
    assert gaps.better[0] == pytest.approx([0.1, 0.2])
    assert judge(claim(metric="held_out_gap"), gaps).difference == pytest.approx(0.3)
    assert np.isnan(score_values(claim(history="2"), [better], [than]).better).all()


def curve(*scores: float, gap: float = 0.0) -> pd.DataFrame:
    return pd.DataFrame({"val/new_ap": scores, "val/loss": [1 + gap] * len(scores), "train/loss": [1.0] * len(scores)})


def test_epochs_and_gaps_are_compared_seed_by_seed():
    better, than = [curve(0.5, 0.6), curve(0.2, 0.5)], [curve(0.1, 0.2, 0.3, 0.4), curve(0.1, 0.3, 0.4, 0.5)]
    found = curve_values(claim(metric="epochs_to_target", target=1.0), better, than)
    assert (found.better[:, 0].tolist(), found.than[:, 0].tolist()) == ([1, 2], [4, 4])
    verdict = judge(claim(metric="epochs_to_target", target=1.0), found)
    reach = stats.t.ppf(0.975, 1) * 0.5
    assert (verdict.difference, verdict.low, verdict.high) == pytest.approx((2.5, 2.5 - reach, 2.5 + reach))
    assert verdict.verdict == "undecided"  # two seeds say little
    assert epochs_to_target(curve(0.1, 0.2), 0.3) == 3
    assert train_validation_gap(curve(0.1, gap=0.25)) == 0.25
    gaps = curve_values(
        claim(metric="train_validation_gap"), [curve(0.1, gap=g) for g in (0.1, 0.11, 0.1)], than[:1] * 3
    )
    assert judge(claim(metric="train_validation_gap"), gaps).verdict == "refuted"


def test_interval_of_one_seed():
    assert np.isnan(student_interval(np.array([0.3]))).all()


def test_curve_of_a_training_has_one_row_an_epoch(tmp_path):
    rows = "epoch,train/loss,val/loss,val/new_ap\n0,,0.5,0.2\n0,0.7,,\n1,,0.4,0.3\n1,0.6,,\n2,0.5,,\n"
    (tmp_path / "metrics.csv").write_text(rows)
    table = read_curve(tmp_path)
    assert table["val/new_ap"].tolist() == [0.2, 0.3]
    assert table["train/loss"].tolist() == [0.7, 0.6]


def test_pages_say_what_the_table_says(tmp_path):
    asked = {"experiment": "e", "claim": "A | B", "better": "a", "than": "b", "metric": "f1", "region": "new"}
    table = pd.DataFrame([asked | {"dataset": "all", "history": "5", "by": 0.0, "unit": "absolute"}
                          | judge(claim(), values(0.03))._asdict()])  # fmt: skip
    (row,) = verdict_rows(table).rows
    assert row[1:5] == ["supported", "a 0.530, b 0.500", "f1, 5 frames seen", "+0.030 (+0.011 to +0.049)"]
    table.to_csv(tmp_path / "verdicts.csv", index=False)
    said = summarise([tmp_path / "verdicts.csv"], tmp_path / "all").read_text()
    assert "1 hypotheses of 1 experiments: 1 supported, 0 refuted, 0 undecided." in said
    assert "A \\| B" in said
    assert 'class="supported"' in (tmp_path / "all" / "summary.html").read_text()
