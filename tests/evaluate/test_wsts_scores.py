"""Scores of WildfireSpreadTS from its stores, against scikit-learn on the pixels of the files."""

import numpy as np
import pytest
import xarray as xr
from sklearn.metrics import average_precision_score, f1_score

from emberformer.data.fires import open_fires
from emberformer.data.fires_writing import write_fires
from emberformer.data.wsts.reader import read_wsts
from emberformer.data.wsts.samples import FOLDS, small_crop, whole_crop
from emberformer.errors import InputError
from emberformer.evaluate.scored_part import ScoredPart
from emberformer.evaluate.verification import BINS, CENTRE, sums_of
from emberformer.evaluate.wsts_scores import wsts_scores
from emberformer.wsts_settings import WildfireSpreadTSSettings
from tests.wsts_files import dates_from, made_days, write_geotiffs

TESTED = made_days(8, (37, 66), seed=1), made_days(6, (40, 33), seed=2)  # in 2021, the test of fold 0
SIZE = (40, 66)


@pytest.fixture(scope="module")
def fires(tmp_path_factory):
    path = tmp_path_factory.mktemp("scores")
    write_geotiffs(path / "source", "2020/fire_1", dates_from("2020-07-01", 6), made_days(6, (33, 34)))
    for number, bands in enumerate(TESTED):
        dates = dates_from("2021-07-01", len(bands))
        write_geotiffs(path / "source", f"2021/fire_{number}", dates, bands)
    write_fires(path / "fires.zarr", read_wsts("small", WildfireSpreadTSSettings(root=path / "source")))
    return open_fires(path / "fires.zarr")


def _forecasts():
    """From every step of every fire, on the padded windows of the store."""
    steps = [(f"2021_fire_{number}", step) for number, bands in enumerate(TESTED) for step in range(len(bands) - 1)]
    probability = np.random.default_rng(3).random((len(steps), 2, *SIZE)).astype("float32")
    return xr.Dataset(
        {"probability": (("forecast", "lead", "y", "x"), probability)},
        coords={
            "fire_id": ("forecast", [fire_id for fire_id, _ in steps]),
            "init_step": ("forecast", [step for _, step in steps]),
            "lead": [1, 2],
        },
        attrs={"method": "chance"},
    )


def _expected(crops):
    """Pixels that are scored: days 5, 6, 7 of the first fire and day 5 of the second."""
    forecasts = _forecasts().probability.values[:, 0]
    pixels = []
    for forecast, bands, day in [(4, 0, 5), (5, 0, 6), (6, 0, 7), (7 + 4, 1, 5)]:
        rows, columns = crops[bands]
        pixels.append((forecasts[forecast][rows, columns], ~np.isnan(TESTED[bands][day, 22])[rows, columns]))
    return (np.concatenate([pixel[k].ravel() for pixel in pixels]) for k in (0, 1))


@pytest.mark.parametrize(
    ("crop", "by_hand"),
    [
        # 37 x 66 pixels: 32 x 64 from (2.5 -> 2, 1); 40 x 33: 32 x 32 from (4, 0.5 -> 0)
        ({}, [(slice(2, 34), slice(1, 65)), (slice(4, 36), slice(0, 32))]),
        ({"crop": small_crop}, [(slice(0, 37), slice(0, 66)), (slice(0, 40), slice(0, 33))]),
    ],
)
def test_scores_of_a_fold(fires, crop, by_hand):
    forecast, observed = _expected(by_hand)
    found = wsts_scores(fires, _forecasts(), FOLDS[0], **crop)
    assert found.average_precision == pytest.approx(average_precision_score(observed, forecast))
    assert found.f1 == pytest.approx(f1_score(observed, forecast > 0.5))
    assert found.prevalence == pytest.approx(observed.mean())


@pytest.mark.parametrize(("name", "crop"), [("multiple_of_32", whole_crop), ("centre_128", small_crop)])
def test_sums_of_the_tables_are_of_the_same_pixels(fires, name, crop):
    """What `protocol: wsts-full` and `wsts-128` set scores what is scored here, pixel for pixel."""
    forecasts = _forecasts().isel(lead=[0]).assign_attrs(score_kind="probability", dataset="small")
    count = forecasts.sizes["forecast"]
    forecasts = forecasts.assign_coords(split=("forecast", ["test"] * count), history_length=("forecast", [1] * count))
    counted = sums_of(forecasts, fires, ScoredPart(name, first_step=4)).count.toarray().sum(0).reshape(2, BINS)
    expected = wsts_scores(fires, forecasts, FOLDS[0], crop)
    assert counted[1].sum() / counted.sum() == pytest.approx(expected.prevalence)
    assert counted[1, CENTRE:].sum() / counted[1].sum() == pytest.approx(expected.recall)
    assert counted[1, CENTRE:].sum() / counted[:, CENTRE:].sum() == pytest.approx(expected.precision)


def test_order_of_the_forecasts_does_not_matter(fires):
    assert wsts_scores(fires, _forecasts().isel(forecast=slice(None, None, -1)), FOLDS[0]) == wsts_scores(
        fires, _forecasts(), FOLDS[0]
    )


def test_missing_forecast(fires):
    forecasts = _forecasts()
    forecasts = forecasts.isel(forecast=forecasts.init_step != 5)
    with pytest.raises(InputError, match=r"(?s)chance, 2021_fire_0 from step 5.*no forecast.*every: 1"):
        wsts_scores(fires, forecasts, FOLDS[0])


def test_forecast_of_a_part(fires):
    forecasts = _forecasts()
    forecasts.probability[4, 0, 20, 20] = np.nan
    with pytest.raises(InputError, match=r"(?s)2021_fire_0 from step 4.*without a forecast.*missing_days: skip"):
        wsts_scores(fires, forecasts, FOLDS[0])
