"""The animation: which forecasts are shown, what their pictures hold cell by cell, and what is said of them."""

import io

import numpy as np
import pytest
from PIL import Image

from emberformer.data.fires import open_fires
from emberformer.forecast_store import ForecastBlock, open_forecasts, write_forecasts
from emberformer.report.animation import animate_leads, animate_steps
from emberformer.report.cases import Choice
from emberformer.report.maps import BURNED_COLOUR, OUTCOME_COLOURS, PROBABILITY
from tests.report.synthetic import FRAMES, HALF_WIDTHS, MODEL, SIDE, THRESHOLD, burned, write_experiment

CHOICE = Choice("Median", "valley", "fire_3", 0.71)


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    _, layout = write_experiment(tmp_path_factory.mktemp("animation"), curves=False)
    return open_fires(layout.fires("valley")), open_forecasts(layout.forecasts(MODEL, "valley"))


@pytest.fixture(scope="module")
def several_leads(tmp_path_factory, stores):
    """Two leads: the square widened by two pixels, then by three."""
    fires, _ = stores
    times = fires.valid_time.values[:FRAMES].astype("datetime64[s]")

    def blocks():
        for step in range(FRAMES):
            probability = np.zeros((2, SIDE, SIDE), np.float32)
            for lead in (1, 2):
                half = HALF_WIDTHS[step] + 1 + lead
                probability[lead - 1, 20 - half : 20 + half + 1, 20 - half : 20 + half + 1] = 0.6
            probability[:, burned(step) == 1] = 1
            ahead = times[step] + np.arange(1, 3) * np.timedelta64(30, "m")
            yield ForecastBlock("fire_3", "test", step, times[step], ahead, probability)

    path = tmp_path_factory.mktemp("leads") / "forecasts.zarr"
    about = {"method": MODEL, "dataset": "valley", "score_kind": "probability", "provenance": {}}
    write_forecasts(path, blocks(), **about, shape=(2, SIDE, SIDE), sees_target_wind=True)
    return open_forecasts(path)


def pixels(picture) -> np.ndarray:
    """Red, green, blue and opacity, 0 to 255 [y, x, 4]."""
    return np.asarray(Image.open(io.BytesIO(picture.content)).convert("RGBA"))


def count(picture, colour: str) -> int:
    wanted = [int(colour[k : k + 2], 16) for k in (1, 3, 5)]
    return int(np.count_nonzero((pixels(picture)[..., :3] == wanted).all(-1) & (pixels(picture)[..., 3] == 255)))


def test_every_forecast_of_the_fire_is_a_moment_in_order(stores):
    animation = animate_steps(CHOICE, stores[0], stores[1], THRESHOLD)
    assert [moment.text[:21] for moment in animation.moments] == [
        f"From 2021-02-03 {t}" for t in ("10:00", "10:30", "11:00")
    ]
    assert animation.side_m == 30 * len(pixels(animation.ground))
    assert all(pixels(m.forecast).shape == pixels(animation.ground).shape for m in animation.moments)


def test_cells_have_the_colours_of_hits_misses_and_false_alarms(stores):
    middle = animate_steps(CHOICE, stores[0], stores[1], THRESHOLD).moments[
        1
    ]  # 5 x 5 burned, 9 x 9 marked, 13 x 13 burn
    assert count(middle.outcome, BURNED_COLOUR) == 25
    assert count(middle.outcome, OUTCOME_COLOURS["hit"]) == 81 - 25
    assert count(middle.outcome, OUTCOME_COLOURS["miss"]) == 169 - 81
    assert count(middle.outcome, OUTCOME_COLOURS["false alarm"]) == 0
    probable = "#" + "".join(f"{round(255 * part):02x}" for part in PROBABILITY(38 / 63)[:3])  # 0.6 of 63 levels
    assert count(middle.forecast, probable) == 81 - 25
    assert np.count_nonzero(pixels(middle.forecast)[..., 3]) == 81  # the ground shows through elsewhere


def test_where_fires_go_out_what_burns_on_is_a_hit(stores):
    animation = animate_steps(CHOICE, stores[0].assign_attrs(fire_kind="active"), stores[1], THRESHOLD)
    middle = animation.moments[1]
    assert count(middle.outcome, OUTCOME_COLOURS["hit"]) == 81
    assert "15 ha burned, 7.3 ha of it were marked" in middle.text
    assert "burned before" not in {key.text for key in animation.keys}


def test_areas_are_said_in_hectares(stores):
    middle = animate_steps(CHOICE, stores[0], stores[1], THRESHOLD).moments[1]
    assert middle.text == (
        "From 2021-02-03 10:30, 30 min ahead, wind 5.0 m/s towards north-east: 13 ha burned anew, 5.0 ha of it were "
        "marked; 0 ha of false alarm."
    )


def test_a_forecast_is_followed_over_its_leads_from_the_frame_before_the_largest_growth(stores, several_leads):
    animation = animate_leads(CHOICE, stores[0], several_leads, THRESHOLD)
    assert animation is not None
    texts = [moment.text for moment in animation.moments]
    assert [text.split(", ")[0] for text in texts] == ["From 2021-02-03 10:30"] * 2  # 5 x 5, then 13 x 13 and 15 x 15
    assert [text.split(", ")[1] for text in texts] == ["30 min ahead", "1 h ahead"]
    assert [count(m.outcome, OUTCOME_COLOURS["hit"]) for m in animation.moments] == [81 - 25, 121 - 25]
    assert [count(m.outcome, OUTCOME_COLOURS["miss"]) for m in animation.moments] == [169 - 81, 225 - 121]


def test_one_lead_has_nothing_to_follow(stores):
    assert animate_leads(CHOICE, stores[0], stores[1], THRESHOLD) is None


def test_equal_inputs_give_equal_pictures(stores):
    once, again = (animate_steps(CHOICE, stores[0], stores[1], THRESHOLD) for _ in range(2))
    assert once == again
