"""Checks of growth and wind on fires that were drawn by hand."""

import numpy as np
import pytest

from emberformer.checks.growth import check_growth, measure_growth
from emberformer.checks.wind import READINGS, check_wind, mean_alignment
from emberformer.data.fires import UNKNOWN
from tests.small_fires import disc, small_fires


def levels(findings) -> dict[str, str]:
    return {finding.subject: finding.level for finding in findings}


def numbers(findings) -> dict[str, dict]:
    return {finding.subject: finding.numbers for finding in findings}


def frames() -> list[np.ndarray]:
    """5 x 6 pixels: one pixel burns, then the one east of it and the one north of that; at last one goes out."""
    one = np.zeros((5, 6), np.uint8)
    one[3, 2] = 1
    two = one.copy()
    two[3, 3] = two[2, 3] = 1
    three = two.copy()
    three[3, 2] = 0
    three[0, 5] = UNKNOWN
    return [one, two, three]


def test_counts_of_a_fire_drawn_by_hand():
    growth = measure_growth(small_fires({"a": frames(), "b": frames()[:2]}), [0, 1])
    assert growth.burned.tolist() == [1, 3, 2, 1, 3]
    assert growth.unknown.tolist() == [0, 0, 1, 0, 0]
    assert growth.row.tolist() == [0, 1, 3]
    assert growth.open.tolist() == [29, 26, 29]  # 30 pixels less burned ones, and less one that is unknown
    assert growth.new.tolist() == [2, 0, 2]
    assert growth.gone.tolist() == [0, 1, 0]
    assert growth.drift[0] == pytest.approx([1.0, 0.5])  # towards east, and half a pixel north: rows go south
    assert np.isnan(growth.drift[1]).all()


def test_findings_of_that_fire():
    found = check_growth(measure_growth(small_fires({"a": frames(), "b": frames()[:2]}), [0, 1]))
    assert numbers(found)["class balance"]["new_fire_prevalence"] == pytest.approx(4 / 84)
    assert numbers(found)["growth"]["steps_without_growth"] == pytest.approx(1 / 3)
    assert levels(found) == {
        "class balance": "OK", "growth": "WARNING", "shrinking fires": "WARNING", "window's edge": "OK", "frames": "OK",
    }  # fmt: skip


def test_fire_at_the_edge_of_its_window():
    corner = np.zeros((4, 4), np.uint8)
    corner[0, 3] = 1
    inside = np.zeros((4, 4), np.uint8)
    inside[1, 1] = 1
    growth = measure_growth(small_fires({"a": [inside, inside | corner]}), [0])
    assert growth.edge.tolist() == [0, 1]
    assert levels(check_growth(growth))["window's edge"] == "WARNING"


def test_rare_fire_and_frames_that_stand_still():
    one = disc((200, 200), (100, 100), 0.5)
    grown = disc((200, 200), (100, 100), 1.0)
    found = levels(check_growth(measure_growth(small_fires({"a": [one] * 40 + [grown]}), [0])))
    assert found["class balance"] == "WARNING"
    assert found["growth"] == "WARNING"
    still = levels(check_growth(measure_growth(small_fires({"a": [one, one]}), [0])))
    assert still["growth"] == "ERROR"


def test_frames_without_fire_name_the_encoding():
    empty = np.zeros((4, 4), np.uint8)
    found = check_growth(measure_growth(small_fires({"a": [empty, empty]}), [0]))
    (finding,) = [f for f in found if f.subject == "frames"]
    assert finding.level == "ERROR"
    assert "encoding" in finding.remedy


def test_days_without_fire_are_wrong_only_where_fires_stay():
    burning, empty = disc((6, 6), (3, 3), 1.0), np.zeros((6, 6), np.uint8)
    for kind, level in (("active", "OK"), ("cumulative", "WARNING")):
        fires = small_fires({"a": [burning, empty, burning]}, fire_kind=kind)
        assert levels(check_growth(measure_growth(fires, [0])))["frames"] == level


def running(towards: tuple[int, int], wind: tuple[float, float], steps: int = 24):
    """A fire of one pixel that goes by one pixel a step, towards east and north, under a steady wind."""
    burned = np.zeros((60, 60), np.uint8)
    seen = []
    for n in range(steps + 1):
        burned = burned.copy()
        burned[30 - n * towards[1], 30 + n * towards[0]] = 1
        seen.append(burned)
    return small_fires({"a": seen}, wind=wind)


@pytest.mark.parametrize("towards", [(1, 0), (0, 1), (-1, 0), (0, -1), (1, 1)])
def test_a_fire_that_runs_downwind(towards):
    fires = running(towards, (3.0 * towards[0], 3.0 * towards[1]))
    growth = measure_growth(fires, [0])
    assert mean_alignment(fires.weather.values[growth.row].astype(float), growth.drift) == (pytest.approx(1), 24)
    assert levels(check_wind(fires, growth)) == {"wind": "OK", "wind's direction": "OK"}


@pytest.mark.parametrize(
    ("wind", "reading"),
    [((-3.0, -1.0), "turned about"), ((3.0, -2.0), "north and south"), ((-2.0, 3.0), "east and west"),
     ((0.3, 3.0), "u and v")],
)  # fmt: skip
def test_a_wrong_sign_of_the_wind_is_named(wind, reading):
    """The fire runs to the east-north-east (3, 1 or the like); what stands in the tables is read in another way."""
    matrix = READINGS[next(name for name in READINGS if reading in name)]
    u, v = (matrix[0] * wind[0] + matrix[1] * wind[1], matrix[2] * wind[0] + matrix[3] * wind[1])
    fires = running((int(np.sign(round(u))), int(np.sign(round(v)))), wind)
    found = {f.subject: f for f in check_wind(fires, measure_growth(fires, [0]))}["wind's direction"]
    assert found.level == ("ERROR" if found.numbers["mean_cosine"] < 0 else "WARNING")
    assert reading in found.remedy
    assert "FROM" in found.remedy


def test_wind_after_the_last_frame_is_not_missed():
    """It drives no step; unknown at the first, it is: 1 of 24 steps, and then 2."""
    fires = running((1, 0), (3.0, 0.0))
    unknown = fires.weather.values.copy()
    for row, missing, level in ((-1, 0, "OK"), (0, 1 / 24, "OK"), (7, 2 / 24, "WARNING")):
        unknown[row] = np.nan
        found = check_wind(fires.assign(weather=(fires.weather.dims, unknown)), measure_growth(fires, [0]))[0]
        assert (found.numbers["missing"], found.level) == (pytest.approx(missing), level)


def test_wind_in_the_wrong_unit_unknown_or_on_too_few_steps():
    fires = running((1, 0), (90.0, 0.0))
    assert levels(check_wind(fires, measure_growth(fires, [0])))["wind"] == "ERROR"
    fires = running((1, 0), (np.nan, np.nan))
    assert levels(check_wind(fires, measure_growth(fires, [0]))) == {"wind": "WARNING"}
    fires = running((1, 0), (3.0, 0.0), steps=5)
    assert levels(check_wind(fires, measure_growth(fires, [0])))["wind's direction"] == "WARNING"
