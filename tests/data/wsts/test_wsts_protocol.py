"""The WildfireSpreadTS protocol on fires made here, against its rules computed once more, pixel by pixel."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emberformer.data.fires import open_fires
from emberformer.data.fires_writing import write_fires
from emberformer.data.wsts.days import Day
from emberformer.data.wsts.features import ALL, FEATURES, MULTI, STATIC, VEGETATION, features, flattened
from emberformer.data.wsts.reader import read_wsts
from emberformer.data.wsts.samples import FOLDS, first_days, small_crop, whole_crop
from emberformer.data.wsts.statistics import Statistics, band_statistics
from emberformer.data.wsts.stored import fires_of, wsts_features, wsts_samples, wsts_statistics
from emberformer.wsts_settings import WildfireSpreadTSSettings
from tests.wsts_files import dates_from, made_days, write_geotiffs

YEARS = {
    "2018/fire_7": made_days(7, (6, 8), seed=1),
    "2019/fire_30": made_days(8, (9, 7), seed=2),
    "2020/fire_4": made_days(6, (5, 5), seed=3),
}


def _write(root):
    for fire, bands in YEARS.items():
        missing = [3] if fire == "2019/fire_30" else []  # a gap: the protocol counts by position
        write_geotiffs(root, fire, dates_from(f"{fire[:4]}-07-01", len(bands), missing), bands)
    return root


@pytest.fixture(scope="module", params=["unknown", "skip"])
def fires(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("protocol")
    settings = WildfireSpreadTSSettings(root=_write(path / "source"), missing_days=request.param)
    write_fires(path / "fires.zarr", read_wsts("small", settings))
    return open_fires(path / "fires.zarr")


def _expected_statistics(*of_fires):
    """Mean and standard deviation by the rules, band after band, from the values that were written."""
    mean, std = np.zeros(23), np.ones(23)
    for band in range(23):
        values = np.concatenate([bands[:, band].ravel() for bands in of_fires]).astype(float)
        values = values[~np.isnan(values)]
        if band == 22:  # NaN where nothing was detected, so only detections are left
            values = values // 100
        if band not in (7, 13, 19, 16):
            mean[band], std[band] = values.mean(), values.std()
    return mean, std


def _expected_features(bands, mean, std):
    """The 40 numbers of one pixel on one day, by the protocol's steps; `bands` are its 23 values as written."""
    values = [float(value) for value in bands]
    values[22] = 0.0 if math.isnan(values[22]) else values[22] // 100
    active = 1.0 if values[22] > 0 else 0.0
    for band in (7, 13, 19):
        values[band] = math.sin(math.radians(values[band]))
    values = [(value - mean[band]) / std[band] for band, value in enumerate(values)]
    values = [0.0 if math.isnan(value) else value for value in values]
    one_hot = [0.0] * 17
    one_hot[int(values[16]) - 1] = 1.0  # -1 is the last
    return values[:16] + one_hot + values[17:22] + [values[22], active]


def test_statistics_of_the_training_years(fires):
    found = wsts_statistics(fires, (2018, 2019))
    mean, std = _expected_statistics(YEARS["2018/fire_7"], YEARS["2019/fire_30"])
    np.testing.assert_allclose(found.mean, mean, rtol=1e-5)
    np.testing.assert_allclose(found.std, std, rtol=1e-5)
    assert found.mean[[7, 13, 16, 19]].tolist() == [0, 0, 0, 0]
    assert found.std[[7, 13, 16, 19]].tolist() == [1, 1, 1, 1]
    assert 9 < found.mean[22] < 21  # hours of detections: zeros between them do not count


@pytest.mark.parametrize("history", [1, 5])
@pytest.mark.parametrize("test", [False, True])
def test_features_of_every_sample(fires, history, test):
    statistics = wsts_statistics(fires, (2018, 2019))
    mean, std = _expected_statistics(YEARS["2018/fire_7"], YEARS["2019/fire_30"])
    samples = wsts_samples(fires, (2018, 2019, 2020), history, test)
    skip = 5 - history if test else 0
    counts = {fire: len(bands) - skip - history for fire, bands in YEARS.items()}
    assert len(samples) == sum(counts.values())
    assert len(set(samples)) == len(samples)
    expected_starts = [(fire, skip + k) for fire, count in counts.items() for k in range(count)]
    for (fire_id, first), (fire, start) in zip(samples, expected_starts, strict=True):
        assert (fire_id, first) == (fire.replace("/", "_"), start)
        found = wsts_features(fires, fire_id, first, history, statistics)
        bands = YEARS[fire]
        assert found.features.shape == (history, 40, *bands.shape[2:])
        np.testing.assert_array_equal(found.target, ~np.isnan(bands[start + history, 22]))
        pixels = itertools.product(range(history), range(0, bands.shape[2], 2), range(0, bands.shape[3], 3))
        for day, y, x in pixels:
            expected = _expected_features(bands[start + day, :, y, x], mean, std)
            np.testing.assert_allclose(found.features[day, :, y, x], expected, rtol=1e-4, atol=1e-4)


def test_all_histories_are_tested_on_the_same_days(fires):
    targets = [
        {(fire_id, first + history) for fire_id, first in wsts_samples(fires, (2018, 2019), history, test=True)}
        for history in range(1, 6)
    ]
    assert all(days == targets[0] for days in targets)
    assert len(targets[0]) == 2 + 3  # 7 and 8 days, of which five come before


def test_nothing_of_the_target_day_is_in_the_features(tmp_path):
    """Another target day changes the target only."""
    statistics = Statistics(np.zeros(23, "float32"), np.ones(23, "float32"))
    samples = []
    for seed in (1, 2):
        bands = np.concatenate([made_days(6, seed=5)[:5], made_days(1, seed=seed)])
        bands[5, 12:17] = bands[4, 12:17]
        root = tmp_path / str(seed)
        write_geotiffs(root / "source", "2018/fire_7", dates_from("2018-07-01", 6), bands)
        write_fires(root / "fires.zarr", read_wsts("small", WildfireSpreadTSSettings(root=root / "source")))
        samples.append(wsts_features(open_fires(root / "fires.zarr"), "2018_fire_7", 0, 5, statistics))
    np.testing.assert_array_equal(samples[0].features, samples[1].features)
    assert (samples[0].target != samples[1].target).any()


def test_sample_that_is_none(fires):
    statistics = Statistics(np.zeros(23, "float32"), np.ones(23, "float32"))
    with pytest.raises(ValueError, match=r"2018_fire_7 has 7 days, none for a sample of 5 days and a target at 2"):
        wsts_features(fires, "2018_fire_7", 2, 5, statistics)


def test_order_of_the_features():
    assert len(FEATURES) == 40
    assert FEATURES[:3] == ("viirs_m11", "viirs_i2", "viirs_i1")
    assert FEATURES[10] == "energy_release_component"
    assert FEATURES[12:17] == ("slope_deg", "aspect_deg", "elevation", "pdsi", "landcover_1")
    assert FEATURES[32] == "landcover_17"
    assert FEATURES[33:] == (
        *("forecast_precipitation", "forecast_wind_speed", "forecast_wind_direction"),
        *("forecast_temperature", "forecast_specific_humidity", "active_fire_hour", "active_fire"),
    )
    assert (12, 13, 14, *range(16, 33)) == STATIC


@pytest.mark.parametrize(
    ("kept", "numbers", "channels"),
    [
        (VEGETATION, (0, 1, 2, 3, 4, 38, 39), 35),
        (MULTI, (*range(10), 11, 12, 13, 14, *range(16, 33), 38, 39), 85),
        (ALL, tuple(range(40)), 120),
    ],
)
def test_sets_of_features(kept, numbers, channels):
    """7, 33 and 40 features; 35, 85 and 120 channels of five days, what does not change but once."""
    assert kept == numbers
    assert len(kept) == {35: 7, 85: 33, 120: 40}[channels]
    of_days = np.arange(5 * 40, dtype="float32").reshape(5, 40, 1, 1)  # day d, feature f: 40 d + f
    flat = flattened(of_days, kept).ravel().tolist()
    assert len(flat) == channels
    static = {12, 13, 14, *range(16, 33)}
    assert flat == [40 * d + f for d in range(4) for f in kept if f not in static] + [160 + f for f in kept]


def test_flattened_day_of_its_own():
    of_days = np.arange(40, dtype="float32").reshape(1, 40, 1, 1)
    assert flattened(of_days, MULTI).ravel().tolist() == list(MULTI)


def _pixel(**values):
    bands = np.full((1, 23, 1, 1), np.nan, "float32")
    bands[0, 22] = 0
    for band, value in values.items():
        bands[0, int(band[1:])] = value
    return bands


PLAIN = Statistics(np.zeros(23, "float32"), np.ones(23, "float32"))


def test_published_hour_of_detection():
    """With the published 14.83 and 5.53 h of 2018 and 2019, no fire stands at -2.68 and 20 h at 0.93."""
    mean, std = np.zeros(23, "float32"), np.ones(23, "float32")
    mean[22], std[22] = 14.83, 5.53
    for hour, standardised, active in [(0, -2.68, 0), (20, 0.93, 1)]:
        found = features(_pixel(b22=hour), Statistics(mean, std))[0, :, 0, 0]
        assert found[38] == pytest.approx(standardised, abs=0.005)
        assert found[39] == active


def test_unknown_land_cover_is_the_last_class():
    for number, place in [(1, 0), (10, 9), (17, 16), (math.nan, 16)]:
        one_hot = features(_pixel(b16=number), PLAIN)[0, 16:33, 0, 0]
        assert one_hot.tolist() == [1.0 if k == place else 0.0 for k in range(17)]


def test_unknown_values_are_the_mean():
    mean = np.full(23, 5, "float32")
    found = features(_pixel(b0=math.nan, b5=7.0), Statistics(mean, np.full(23, 2, "float32")))[0, :, 0, 0]
    assert (found[0], found[5]) == (0, 1)


def test_sine_of_degrees():
    found = features(_pixel(b7=90, b13=270, b19=30), PLAIN)[0, :, 0, 0]
    np.testing.assert_allclose([found[7], found[13], found[35]], [1, -1, 0.5], atol=1e-6)


def test_statistics_of_a_constant_and_of_an_unknown_band():
    bands = made_days(1)[0]
    bands[22] = 0
    bands[5], bands[15] = 0, np.nan
    found = band_statistics([Day(np.zeros(bands.shape[1:], "uint8"), bands)])
    assert (found.mean[5], found.std[5], found.mean[15], found.std[15]) == (0, 1, 0, 1)
    assert (found.mean[22], found.std[22]) == (0, 1)


@given(st.integers(0, 30), st.integers(1, 5), st.booleans())
def test_number_of_samples(days, history, test):
    """T - skip - L, skip = 5 - L in tests; the last is scored on the last day."""
    starts = first_days(days, history, test)
    assert len(starts) == max(0, days - (5 - history if test else 0) - history)
    if starts:
        assert starts[-1] + history == days - 1


def test_history_that_the_protocol_does_not_have():
    with pytest.raises(ValueError, match="6 days"):
        first_days(10, 6)


def test_folds():
    """Train | validation | test, as published, 0 to 11."""
    expected = (
        "18,19|20|21 18,19|21|20 18,20|19|21 18,20|21|19 18,21|19|20 18,21|20|19 "
        "19,20|18|21 19,20|21|18 19,21|18|20 19,21|20|18 20,21|18|19 20,21|19|18"
    )
    found = [
        f"{a % 100},{b % 100}|{fold.validation % 100}|{fold.test % 100}" for fold in FOLDS for a, b in [fold.train]
    ]
    assert " ".join(found) == expected


def test_years_of_a_fold(fires):
    assert fires_of(fires, FOLDS[0].train) == ["2018_fire_7", "2019_fire_30"]
    assert fires_of(fires, (FOLDS[0].validation,)) == ["2020_fire_4"]


def test_crops_by_hand():
    """Halves go to the even number, as in torchvision: 0.5 to 0, 1.5 to 2."""
    assert whole_crop(64, 96) == (slice(0, 64), slice(0, 96))
    assert whole_crop(65, 67) == (slice(0, 64), slice(2, 66))
    assert whole_crop(95, 94) == (slice(16, 80), slice(15, 79))
    assert small_crop(200, 129) == (slice(36, 164), slice(0, 128))


@given(st.integers(32, 700), st.integers(32, 700))
def test_whole_crop_is_the_largest_that_fits(height, width):
    for side, crop in zip((height, width), whole_crop(height, width), strict=True):
        kept = crop.stop - crop.start
        assert kept % 32 == 0
        assert side - 32 < kept <= side
        assert abs(crop.start - (side - crop.stop)) <= 1
