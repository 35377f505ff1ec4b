"""Charts of ensembles: what they say to those who do not see them, and that they are pictures."""

import io

import numpy as np
from PIL import Image

from emberformer.arrival_leads import NEVER, UNKNOWN
from emberformer.report.ensemble_figures import burn_reliability_plot, members_picture, rank_plot, spread_skill_plot


def test_charts_say_what_they_show():
    ranks = rank_plot({"futures": np.array([3, 4]), "seeds": np.array([1, 0, 6])})
    assert "futures 3, 4; seeds 1, 0, 6" in ranks.alt
    spread = spread_skill_plot({"futures": np.array([9.0, 20.4])}, {"futures": np.array([10.0, 22.0])})
    assert "futures 9 for 10, 20 for 22" in spread.alt
    nan = np.array([0.1, np.nan, 0.9])
    reliability = burn_reliability_plot({"futures": nan}, {"futures": np.array([0.2, np.nan, 0.8])})
    assert "futures 0.10 0.20, 0.90 0.80" in reliability.alt
    for picture in (ranks, spread, reliability):
        assert picture.content.startswith(b"<?xml")


def test_an_empty_ensemble_is_drawn():
    assert "0, 0" in rank_plot({"futures": np.array([0, 0])}).alt
    empty = np.full(2, np.nan)
    assert burn_reliability_plot({"futures": empty}, {"futures": empty}).content


def test_members_are_shown_from_the_smallest_to_the_largest():
    arrival = np.full((9, 30, 20), NEVER, np.uint8)
    arrival[:, 10, 10] = 0
    arrival[:, :, 19] = UNKNOWN
    for place, size in enumerate([5, 1, 9, 3, 7, 2, 8, 4, 6]):
        arrival[place, 11, 1 : 1 + size] = 2
    picture = members_picture(arrival[0], arrival, 2, "Fire 1")
    # pixel 10, 10 is burned by all; six of nine, evenly chosen by size
    assert "6 pixels observed, members with 2, 4, 5, 7, 8, 10." in picture.alt
    assert Image.open(io.BytesIO(picture.content)).size == (1260, 1290)
