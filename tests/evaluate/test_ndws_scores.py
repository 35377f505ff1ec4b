"""Scores of Next Day Wildfire Spread from its stores, against scikit-learn on the pixels of the records."""

import numpy as np
import pytest
import xarray as xr
from sklearn.metrics import average_precision_score, f1_score

from emberformer.data.fires import open_fires
from emberformer.data.fires_writing import write_fires
from emberformer.data.ndws.inputs import FIRE
from emberformer.data.ndws.source import read_ndws
from emberformer.data.ndws.stored import centre_crop
from emberformer.errors import InputError
from emberformer.evaluate.ndws_scores import ndws_scores
from emberformer.ndws_settings import NdwsSettings
from tests.ndws_tiles import make_tile, write_tiles

TESTED = [make_tile(1), make_tile(2)]


@pytest.fixture(scope="module")
def fires(tmp_path_factory):
    path = tmp_path_factory.mktemp("scores")
    write_tiles(path / "a_train_00.tfrecord", [make_tile(0)])
    write_tiles(path / "a_test_00.tfrecord", TESTED)
    write_fires(path / "fires.zarr", read_ndws("tiles", NdwsSettings(root=path)))
    return open_fires(path / "fires.zarr")


def _forecasts():
    """Not in the order of the tiles."""
    probability = np.random.default_rng(3).random((3, 1, 64, 64)).astype("float32")
    names = ["test_00_000001", "train_00_000000", "test_00_000000"]
    return xr.Dataset(
        {"probability": (("forecast", "lead", "y", "x"), probability)},
        coords={"fire_id": ("forecast", names), "init_step": ("forecast", [0, 0, 0]), "lead": [1]},
        attrs={"method": "chance"},
    )


def _expected(rows, columns):
    forecast = _forecasts().probability.values[[2, 0], 0, rows, columns].ravel()
    observed = np.stack([tile[FIRE][rows, columns] for tile in TESTED]).ravel()
    return forecast[observed >= 0], observed[observed >= 0]


@pytest.mark.parametrize(
    ("crop", "by_hand"), [({}, (slice(64), slice(64))), ({"crop": centre_crop()}, (slice(16, 48), slice(16, 48)))]
)
def test_scores_of_the_known_pixels(fires, crop, by_hand):
    forecast, observed = _expected(*by_hand)
    found = ndws_scores(fires, _forecasts(), **crop)
    assert found.pooled.average_precision == pytest.approx(average_precision_score(observed, forecast))
    assert found.pooled.f1 == pytest.approx(f1_score(observed, forecast > 0.5))
    assert found.pooled.prevalence == pytest.approx(observed.mean())
    assert found.without_forecast == 0


def test_pixels_without_a_forecast_are_told(fires):
    forecasts = _forecasts()
    forecasts.probability[2, 0, :32] = np.nan  # upper half of the first tile
    found = ndws_scores(fires, forecasts)
    known = [(tile[FIRE] >= 0) for tile in TESTED]
    assert found.without_forecast == pytest.approx(known[0][:32].sum() / np.sum(known))
    scored = [(TESTED[0][FIRE] == 1)[32:], TESTED[1][FIRE] == 1]
    of = known[0][32:].sum() + known[1].sum()
    assert found.pooled.prevalence == pytest.approx(sum(burned.sum() for burned in scored) / of)


def test_missing_forecasts_and_splits(fires):
    with pytest.raises(InputError, match=r"(?s)forecasts of chance, test_00_000000.*no forecast"):
        ndws_scores(fires, _forecasts().isel(forecast=slice(2)))
    with pytest.raises(InputError, match=r"(?s)no tile of the published split 'eval'"):
        ndws_scores(fires, _forecasts(), "eval")
