"""The published inputs: by the table as it was printed, and by numbers worked out by hand."""

import numpy as np
import pytest

from emberformer.data.ndws.inputs import ndws_inputs
from tests.ndws_tiles import make_tile

PRINTED = """
elevation 0 3141 657.3003 649.0147
th 0 360 190.3298 72.5985
vs 0 10.0243 3.8501 1.4110
tmmn 253.15 298.9489 281.0877 8.9824
tmmx 253.15 315.0923 295.1738 9.8155
sph 0 1 0.0071659 0.0042835
pr 0 44.5304 1.7398 4.4828
pdsi -6.1298 7.8760 -0.0053 2.6823
NDVI -9821 9996 5157.625 2466.6677
population 0 2534.0630 25.5314 154.7233
erc 0 106.2489 37.3263 20.8460
PrevFireMask -1 1 0 1
"""
TABLE = [line.split() for line in PRINTED.split("\n") if line]


def test_channels_stand_in_the_published_order():
    tile = make_tile(**{name: float(mean) for name, _, _, mean, _ in TABLE})
    for channel, (name, least, most, mean, deviation) in enumerate(TABLE):
        raw = float(mean) + 0.5 * float(deviation)
        found = ndws_inputs({**tile, name: np.full((64, 64), raw, "float32")})
        at_mean = np.zeros(12)
        at_mean[channel] = (min(max(raw, float(least)), float(most)) - float(mean)) / float(deviation)
        np.testing.assert_allclose(found[:, 0, 0], at_mean, atol=2e-4)


@pytest.mark.parametrize(("name", "least", "most", "mean", "deviation"), TABLE)
def test_values_outside_the_limits_are_clipped(name, least, most, mean, deviation):
    channel = [row[0] for row in TABLE].index(name)
    beyond = np.full((64, 64), 1e6, "float32")
    beyond[0] = -1e6
    found = ndws_inputs(make_tile(**{name: beyond}))[channel]
    np.testing.assert_allclose(found[0], (float(least) - float(mean)) / float(deviation), rtol=2e-4)
    np.testing.assert_allclose(found[1:], (float(most) - float(mean)) / float(deviation), rtol=2e-4)


def test_numbers_by_hand():
    """A hill of 1306.315 m is (1306.315 - 657.3003) / 649.0147 = 1; 270 deg (270 - 190.32976) / 72.59854 = 1.0974."""
    found = ndws_inputs(make_tile(elevation=1306.315, th=270, NDVI=5157.625, PrevFireMask=-1))
    assert found.dtype == np.float32
    assert found.shape == (12, 64, 64)
    np.testing.assert_allclose(found[[0, 1, 8, 11], 5, 7], [1, 1.09740, 0, -1], atol=1e-5)


def test_what_is_unknown_stays_so():
    values = np.ones((64, 64), "float32")
    values[3, 4] = np.nan
    found = ndws_inputs(make_tile(pr=values))
    assert np.isnan(found[6, 3, 4])
    assert np.isnan(found).sum() == 1


def test_missing_feature():
    tile = make_tile()
    del tile["erc"]
    with pytest.raises(KeyError, match="erc"):
        ndws_inputs(tile)
