"""Files of an ensemble opened again: outlines of members, rasters of burn probability and arrival, refusals."""

import json

import geopandas
import numpy as np
import pytest
import rasterio
from rasterio.features import rasterize
from rio_cogeo.cogeo import cog_validate

from emberformer.arrival_leads import NEVER, UNKNOWN, burn_probability
from emberformer.errors import InputError
from emberformer.outputs.fire_forecast import north_up
from emberformer.outputs.members import arrival_seconds, member_perimeters, write_member_files
from tests.outputs.forecasts import forecast_of

LEADS = 2


def members() -> np.ndarray:
    """Three members on 4 x 5 pixels: pixel (1, 1) is burned before, the last column is unknown."""
    found = np.full((3, 4, 5), NEVER, np.uint8)
    found[:, 1, 1], found[:, :, 4] = 0, UNKNOWN
    found[0, 1, 2] = found[1, 1, 2] = 1
    found[0, 2, 2] = found[0, 3, 3] = 2
    return found


def forecast(arrival_lead: np.ndarray, **place):
    probability, burned = burn_probability(arrival_lead, LEADS), (arrival_lead[0] == 0).astype(np.uint8)
    burned[arrival_lead[0] == UNKNOWN] = 255
    return forecast_of(probability, burned, **place)


@pytest.mark.parametrize("south_up", [False, True])
def test_outlines_give_the_masks_back(south_up):
    arrival_lead = members()
    made = forecast(arrival_lead, south_up=south_up)
    stored = arrival_lead[:, ::-1] if south_up else arrival_lead
    rows = member_perimeters(made, np.ascontiguousarray(stored))
    transform = north_up(made).rio.transform()
    assert len(rows) == LEADS * 3
    for lead, member, shape, area in zip(rows.lead, rows.member, rows.geometry, rows.area_ha, strict=True):
        again = rasterize([shape], out_shape=(4, 5), transform=transform)
        np.testing.assert_array_equal(again, (arrival_lead[member - 1] <= lead).astype(np.uint8))
        assert area == pytest.approx(0.09 * np.count_nonzero(again))


def test_arrival_percentiles_by_hand():
    found = arrival_seconds(forecast(members()), members(), (30, 60, 90))
    # of pixel (1, 2) two of three members burn by lead 1, of (2, 2) one by lead 2; a lead is half an hour
    np.testing.assert_array_equal(found[:, 1, 2], [1800, 1800, np.nan])
    np.testing.assert_array_equal(found[:, 2, 2], [3600, np.nan, np.nan])
    np.testing.assert_array_equal(found[:, 1, 1], [0, 0, 0])
    assert np.isnan(found[:, :, 4]).all()


def test_files_open_again_and_are_replaced(tmp_path):
    made, folder = forecast(members()), tmp_path / "members"
    files = write_member_files(made, members(), folder, levels=(10, 50))
    assert set(files) == {"members", "burn_probability_lead01", "burn_probability_lead02", "arrival_p10", "arrival_p50",
                          "summary"}  # fmt: skip
    layer = geopandas.read_file(files["members"], layer="members")
    assert layer.groupby("lead").member.apply(list).to_dict() == {1: [1, 2, 3], 2: [1, 2, 3]}
    with rasterio.open(files["burn_probability_lead01"]) as raster:
        np.testing.assert_allclose(raster.read(1)[1, :4], [0, 1, 2 / 3, 0], atol=1e-6)
    with rasterio.open(files["arrival_p50"]) as raster:
        np.testing.assert_array_equal(raster.read(1)[1, :3], [np.nan, 0, 1800])
        assert (raster.units, raster.tags()["percent"]) == (("s",), "50")
    for content in ("burn_probability_lead02", "arrival_p10"):
        assert cog_validate(files[content], strict=True, quiet=True)[0]
        assert files[content].with_suffix(".qml").exists()
    told = json.loads(files["summary"].read_text())
    assert told["leads"][1]["area_ha"] == pytest.approx([0.09 * n for n in (4, 2, 1)])
    write_member_files(made, members(), folder, levels=(90,))
    assert not files["arrival_p10"].exists()


def test_other_files_and_other_members_are_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"notes\.txt"):
        write_member_files(forecast(members()), members(), tmp_path)
    others = members()
    others[0][forecast(members()).probability.values[-1] == 0] = 1
    with pytest.raises(InputError, match="same draw"):
        write_member_files(forecast(members()), others, tmp_path / "new")
    with pytest.raises(InputError, match="grid"):
        write_member_files(forecast(members()), members()[:, :3], tmp_path / "new")
    assert not (tmp_path / "new").exists()
