"""The plain answer, where the model fails, and how far ahead it sees: sentences from tables with chosen numbers."""

from dataclasses import replace

import pandas as pd
import pytest

from emberformer.data_settings import SplitSettings
from emberformer.report.answer import kept_aside, plain_answer
from emberformer.report.circumstances import by_circumstance
from emberformer.report.leads import far_ahead, way_ahead
from emberformer.settings import ForecastSettings
from tests.report.synthetic import MODEL, scoreboard

HALF_HOUR = 1800.0


@pytest.fixture
def board(tmp_path):
    return scoreboard(tmp_path)


@pytest.fixture
def two_leads(board):
    """At the second lead every score is halved; arrival times are scored there, persistence never arrives."""
    later = board.scores.assign(lead=2, value=board.scores.value / 2)
    arrival = [
        {"method": method, "metric": metric, "value": value, "low": value, "high": value}
        for method, values in {MODEL: (12.4, 0.25), "persistence": (45.0, 1.0)}.items()
        for metric, value in zip(("arrival_mae_min", "arrival_missed"), values, strict=True)
    ]
    about = {"dataset": "all", "split": "test", "lead": 2, "history": "all", "region": "new", "threshold": "validation"}
    return replace(board, scores=pd.concat([board.scores, later, pd.DataFrame(arrival).assign(**about)]))


def test_methods_stand_in_hectares_of_a_hundred(board):
    answer = plain_answer(board, {1: "30 min"}, SplitSettings(), sees_wind=None)
    assert [(row.label, row.found, row.right, row.minor) for row in answer.rows] == [
        ("EmberFormer, seed 0", "80", "70", False),
        ("Persistence", "0", "–", True),
        ("Distance", "50", "40", True),
    ]


def test_where_fires_go_out_the_last_map_repeated_finds_fire(board):
    persistence = (board.scores.method == "persistence") & board.scores.metric.isin(["recall", "precision"])
    scores = board.scores.assign(value=board.scores.value.where(~persistence, 0.25))
    out = plain_answer(replace(board, scores=scores), {1: "1 day"}, SplitSettings(), None, stays_burned=False)
    assert "The last map repeated (persistence) finds 25 of 100, and 25 of 100 that it marks are right." in out.said
    assert "Ground that burns by then is called new fire, also where it burned on the last map" in out.asked[1]
    assert out.said[0].startswith("Of every 100 hectares that burned, EmberFormer had marked 80")
    stays = plain_answer(board, {1: "30 min"}, SplitSettings(), None)
    assert "The last map repeated (persistence) marks no new fire at all." in stays.said
    assert "Ground that was not burned on the last map and burns by then is called new fire." in stays.asked


def test_the_longest_lead_is_answered_too(two_leads):
    said = plain_answer(two_leads, {1: "30 min", 2: "1 h"}, SplitSettings(), sees_wind=None).said
    assert said[-1] == "Asked 1 h ahead, EmberFormer finds 40 of 100, and 35 are right."


@pytest.mark.parametrize(("sees", "told"), [(True, True), (False, False), (None, False)])
def test_the_wind_is_called_known_only_where_it_was(board, sees, told):
    said = " ".join(plain_answer(board, {1: "30 min"}, SplitSettings(), sees).asked)
    assert ("as if the weather forecast had been perfect" in said) == told


def test_what_was_known_of_the_ground_follows_the_split():
    assert "nothing about ground never seen" in kept_aside(SplitSettings(by="fire"))
    assert kept_aside(SplitSettings(test_landscapes=("dogrib", "hill"))).endswith("but it never saw dogrib and hill.")
    assert "no fire in the landscapes of the test" in kept_aside(SplitSettings(by="landscape"))


def test_classes_of_few_fires_are_drawn_but_not_spoken_of(board):
    rare = board.strata.assign(n_fires=board.strata.n_fires.where(board.strata.class_name != "<3.4", 4))
    wind, history = (found := by_circumstance(replace(board, strata=rare))).pictures
    assert found.said == ["Wind: F1 is lowest, 0.70, at 3.4–5.5 m/s, and highest, 0.80, at ≥ 8 m/s."]
    assert "< 3.4 4 fires" in wind.alt
    assert "0.61, 0.70, 0.80" in wind.alt
    assert history.caption == "By history"


def test_where_all_classes_have_few_fires_nothing_is_said(board):
    found = by_circumstance(replace(board, strata=board.strata.assign(n_fires=4)))
    assert (found.said, len(found.pictures)) == ([], 2)


def test_what_is_unknown_or_of_one_class_has_no_chart(board):
    one = board.strata[board.strata.class_name == ">=8"]
    unknown = pd.concat([one, one.assign(class_name="unknown")])
    assert len(by_circumstance(replace(board, strata=unknown)).pictures) == 1  # history alone


def test_one_lead_has_no_section(board):
    assert far_ahead(board, [HALF_HOUR]) is None


def test_scores_by_lead_stand_beside_the_rivals(two_leads):
    found = far_ahead(two_leads, [HALF_HOUR])
    assert found is not None
    said = " ".join(found.said)
    assert "F1 on new fire is 0.74 at 30 min and 0.37 at 1 h." in said  # 0.745 is stored just below
    assert "The best rival at 1 h is distance, with 0.23." in said
    assert "wrong by 12 minutes on average; 25 % of that ground the forecast fire never reaches" in said
    assert [picture.caption for picture in found.pictures] == [
        "New-fire AP",
        "New-fire F1",
        "Error of the arrival time",
        "Ground that the forecast fire never reaches",
    ]
    assert "EmberFormer, seed 0 12.40; Persistence 45.00" in found.pictures[2].alt


@pytest.mark.parametrize(
    ("method", "lead_times", "said"),
    [
        ("direct", 6, "Each of them is forecast directly."),
        (
            "direct",
            2,
            "Up to 2 steps are forecast directly; beyond, the forecast is taken for the newest map, as 5",
        ),
        ("rollout", 6, "One step is forecast directly; beyond"),
    ],
)
def test_it_is_said_how_later_times_are_reached(method, lead_times, said):
    assert way_ahead(ForecastSettings(leads=6, method=method), lead_times).startswith(said)


def test_leads_are_steps_where_data_sets_have_steps_of_their_own(two_leads):
    found = far_ahead(two_leads, [HALF_HOUR, 2 * HALF_HOUR])
    assert found is not None
    assert "at lead 1 and 0.37 at lead 2" in found.said[0]
    assert "steps ahead (1, 2)" in found.pictures[0].alt
