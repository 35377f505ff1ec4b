"""Arrival in leads: coding of the truth, shares and percentiles of members."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from emberformer.arrival_leads import NEVER, UNKNOWN, arrival_percentiles, burn_probability, observed_lead
from emberformer.errors import InputError

LEADS = 3
members = arrays.arrays(np.uint8, st.tuples(st.integers(1, 6), st.just(2), st.just(3)),
                        elements=st.sampled_from([0, 1, 2, 3, NEVER]))  # fmt: skip


def pixels(*frames: list[int]) -> np.ndarray:
    """Frames of pixels in a row as [frame, y, x]."""
    return np.array(frames, np.uint8)[:, None, :]


def test_the_observed_lead_by_hand():
    burned = pixels(
        # burned, at 1, at 3, never, new unknown, gap before the fire, gap before none, gap at the end, not at the front
        [1, 0, 0, 0, 255, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 255, 255, 0, 1],
        [1, 1, 0, 0, 0, 1, 255, 0, 255],
        [1, 1, 1, 0, 0, 1, 0, 255, 1],
    )
    assert observed_lead(burned)[0].tolist() == [0, 1, 3, NEVER, UNKNOWN, UNKNOWN, NEVER, UNKNOWN, 1]


def test_ground_that_is_burned_stays_burned():
    assert observed_lead(pixels([0, 1], [1, 0], [0, 0]))[0].tolist() == [1, 0]


@given(arrays.arrays(np.uint8, (1 + LEADS, 3, 4), elements=st.sampled_from([0, 1])))
def test_masks_are_what_burned_so_far(frames):
    arrival = observed_lead(frames)
    for lead in range(LEADS + 1):
        np.testing.assert_array_equal(arrival <= lead, frames[: lead + 1].any(0))


@given(members)
def test_burn_probability_is_the_share_of_masks_and_never_falls(arrival_lead):
    share = burn_probability(arrival_lead, LEADS)
    assert (np.diff(share, axis=0) >= 0).all()
    for lead in range(1, LEADS + 1):
        np.testing.assert_allclose(share[lead - 1], (arrival_lead <= lead).sum(0) / len(arrival_lead))


@given(members, st.sampled_from([10, 20, 50, 75, 90, 100]))
def test_a_percentile_is_the_first_lead_of_that_burn_probability(arrival_lead, level):
    found = arrival_percentiles(arrival_lead, (level,), LEADS)[0]
    share = np.concatenate([(arrival_lead == 0).mean(0)[None], burn_probability(arrival_lead, LEADS)])
    reached = share >= np.float32(level / 100) - 1e-6
    expected = np.where(reached.any(0), reached.argmax(0), np.nan)
    np.testing.assert_array_equal(found, expected)


def test_percentiles_of_ten_members_by_hand():
    arrival_lead = np.array([0, 1, 1, 2, 2, 2, 3, 3, NEVER, NEVER], np.uint8)[:, None, None]
    found = arrival_percentiles(arrival_lead, (10, 30, 50, 80, 90), LEADS).ravel()
    np.testing.assert_array_equal(found, [0, 1, 2, 3, np.nan])


def test_unknown_pixels_are_nan():
    arrival_lead = np.array([[[UNKNOWN, 1]], [[UNKNOWN, NEVER]]], np.uint8)
    np.testing.assert_array_equal(burn_probability(arrival_lead, 2), [[[np.nan, 0.5]]] * 2)
    np.testing.assert_array_equal(arrival_percentiles(arrival_lead, (50,), 2), [[[np.nan, 1]]])


@pytest.mark.parametrize("level", [0, -1, 101])
def test_levels_are_percentages(level):
    with pytest.raises(InputError, match="above 0"):
        arrival_percentiles(np.zeros((1, 1, 1), np.uint8), (level,), 1)
