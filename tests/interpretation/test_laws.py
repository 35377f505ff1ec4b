"""Laws of the interpretation: completeness, rollout, colours, permutations, and what failures have in common."""

from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from emberformer.dataset import Step
from emberformer.forecast_store import ForecastBlock, open_forecasts, write_forecasts
from emberformer.interpretation.attention import rolled_out
from emberformer.interpretation.attribution import integrated_gradients, uneventful
from emberformer.interpretation.components import component_colours
from emberformer.interpretation.failures import in_common, step_errors, worst_steps
from emberformer.interpretation.importance import _with_donors, on_one_ground, with_part_of
from emberformer.interpretation.subject import Subject
from emberformer.landscape import Landscape
from tests.small_fires import disc, small_fires


@settings(max_examples=20)
@given(st.integers(0, 1000))
def test_attributions_add_up_to_the_difference_from_the_baseline(seed):
    generator = torch.Generator().manual_seed(seed)
    x, y, x0, y0 = (torch.randn(4, generator=generator, dtype=torch.float64) for _ in range(4))

    def function(point):
        return (torch.sigmoid(point["x"] * 0.7 + point["y"]) + point["x"] ** 3).sum()

    found = integrated_gradients(function, {"x": x, "y": y}, {"x": x0, "y": y0})
    difference = function({"x": x, "y": y}) - function({"x": x0, "y": y0})
    assert float(found["x"].sum() + found["y"].sum()) == pytest.approx(float(difference), rel=1e-6, abs=1e-6)


def test_attributions_of_a_product_by_hand():
    # f = x y from (0, 0) to (2, 3): either input accounts for half of 6. What is not used gets nothing.
    values = {name: torch.tensor([value]) for name, value in (("x", 2.0), ("y", 3.0), ("z", 9.0))}
    baselines = {name: torch.zeros(1) for name in values}
    found = integrated_gradients(lambda point: (point["x"] * point["y"]).sum(), values, baselines, nodes=1)
    assert [round(float(value), 5) for value in found.values()] == [3.0, 3.0, 0.0]


def test_an_uneventful_fire_has_no_wind_even_ground_and_a_past_like_the_present():
    inputs = {
        "wind": torch.ones(1, 3, 2),
        "frame_patches": torch.arange(3.0).view(1, 3, 1, 1, 1).expand(1, 3, 2, 2, 4),
        "terrain_pixels": torch.arange(8.0).view(1, 2, 2, 2),
        "fire_pixels": torch.stack([torch.eye(2), torch.full((2, 2), 0.4)])[None],
    }
    found = uneventful(inputs)
    assert not found["wind"].any()
    assert found["frame_patches"].unique().tolist() == [2.0]
    assert found["terrain_pixels"][0, :, 0, 0].tolist() == [1.5, 5.5]
    assert torch.equal(found["fire_pixels"][:, 1], inputs["fire_pixels"][:, 0])


def test_rollout_of_two_blocks_by_hand():
    # the last block computes the newest moment alone, from two; the first both, each attending to one of them
    last = torch.tensor([[[0.25, 0.75]]])
    first = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]])
    # after the last: 0.5 (0, 1) + 0.5 (0.25, 0.75) = (0.125, 0.875); the first moves half of the second to the first
    assert rolled_out([first, last]).tolist() == [[0.125 + 0.4375, 0.4375]]


@settings(max_examples=20)
@given(st.integers(0, 1000), st.integers(1, 3), st.integers(1, 5))
def test_rollout_shares_add_up_to_one(seed, blocks, moments):
    generator = torch.Generator().manual_seed(seed)
    weights = [torch.rand(2, 1 if n == blocks - 1 else moments, moments, generator=generator).softmax(-1)
               for n in range(blocks)]  # fmt: skip
    assert rolled_out(weights).sum(-1).tolist() == pytest.approx([1, 1])


def test_components_tell_two_kinds_of_patches_apart():
    features = np.zeros((2, 3, 4, 6))
    features[:, :, 2:, 1] = 5
    colours, share = component_colours(features)
    assert share.tolist() == pytest.approx([1, 0, 0])
    assert (colours[:, :, 2:, 0] == 1).all()  # the largest loading counts as positive
    assert (colours[:, :, :2, 0] == 0).all()
    assert (colours[..., 1:] == 0.5).all()
    even, none = component_colours(np.ones((1, 2, 2, 5)))
    assert (even == 0.5).all()
    assert not none.any()


def test_only_the_named_part_comes_from_the_donor():
    inputs = {"terrain_pixels": torch.arange(16.0).view(2, 4, 2, 1), "wind": torch.arange(2.0).view(2, 1, 1)}
    changed = with_part_of(inputs, {"terrain_pixels": [1, 3]}, 0, 1)
    assert torch.equal(changed["wind"], inputs["wind"][:1])
    assert torch.equal(changed["terrain_pixels"][0, [0, 2]], inputs["terrain_pixels"][0, [0, 2]])
    assert torch.equal(changed["terrain_pixels"][0, [1, 3]], inputs["terrain_pixels"][1, [1, 3]])
    assert inputs["terrain_pixels"][0, 1, 0, 0] == 2.0  # the batch itself is left as it was


@pytest.mark.parametrize(("ground", "donors"), [([4, 4, 4], {1, 2}), ([4, 4, 5], {2})])
def test_a_donor_is_on_other_ground_where_there_is_some(ground, donors):
    subject = Mock(spec=Subject)
    subject.landscape = Mock(spec=Landscape, terrain_index=np.array(ground))
    subject.steps = [Step(0, fire, step) for fire in range(3) for step in range(4)]
    subject.frames_seen = lambda step: step.step
    pairs = _with_donors(subject, [step for step in subject.steps if step.fire == 0] * 8, 0)
    assert {donor.fire for _, donor in pairs} == donors
    assert all(step.step == donor.step for step, donor in pairs)
    assert on_one_ground(subject) == (len(set(ground)) == 1)


def errors_of(folder, fires, forecasts):
    """Errors of forecasts from the first frame of each fire."""
    times, shape = fires.valid_time.values, forecasts[0].shape
    blocks = [
        ForecastBlock(fire_id, "test", 0, times[0], times[1:2], values[None].astype(np.float32))
        for fire_id, values in zip(fires.fire_id.values, forecasts, strict=True)
    ]
    write_forecasts(folder / "f.zarr", blocks, method="m", dataset="small", score_kind="probability",
                    shape=(1, *shape), provenance={}, sees_target_wind=False)  # fmt: skip
    return step_errors(open_forecasts(folder / "f.zarr"), fires, "test", 0.5)


def test_ground_without_data_is_neither_another_fuel_nor_unburnable(tmp_path):
    shape, small = (14, 14), disc((14, 14), (7, 7), 1)
    fuel, burnable = np.full(shape, np.nan), np.full(shape, np.nan)
    fuel[:, :8], fuel[:, 4:8], burnable[:, :4], burnable[:, 4:8] = 1, 2, 0, 1
    fires = small_fires({"a": [small, small]}, terrain={"fuel_model": fuel, "burnable": burnable})
    (row,) = errors_of(tmp_path, fires, [small]).to_dict("records")
    ground = (small == 0)[:, :8]
    assert row["fuel_changes"] == pytest.approx(14 / np.count_nonzero(ground[:, 1:] & ground[:, :-1]))
    assert row["unburnable_share"] == pytest.approx(14 * 4 / np.count_nonzero(ground))
    nothing = small_fires({"a": [small, small]}, terrain={"fuel_model": fuel * np.nan, "burnable": fuel * np.nan})
    (row,) = errors_of(tmp_path, nothing, [small]).to_dict("records")
    assert np.isnan([row["fuel"], row["fuel_changes"], row["unburnable_share"]]).all()


def test_fires_that_go_out_have_a_size_and_ground_about_them(tmp_path):
    small = disc((14, 14), (7, 7), 1)
    fires = small_fires(
        {"a": [small, small * 0]}, fire_kind="active", cell_m=100.0, terrain={"slope_deg": np.full((14, 14), 7.0)}
    )
    (row,) = errors_of(tmp_path, fires, [small]).to_dict("records")
    assert (row["fire_size_ha"], row["false_alarm_ha"], row["slope_deg"]) == (5, 5, 7)


@pytest.fixture
def errors(tmp_path):
    """A disc of 5 pixels that grows to 21, forecast to stay, and one that is forecast to grow and stays."""
    shape = (14, 14)
    small, large = disc(shape, (7, 7), 1), disc(shape, (7, 7), 2.3)
    fires = small_fires(
        {"sequence_001": [small, large], "sequence_002": [small, small]}, cell_m=100.0, wind=(3.0, 4.0),
        terrain={"slope_deg": np.full(shape, 7.0), "fuel_model": np.where(np.arange(14) < 7, 1, 2)[None].repeat(14, 0)},
    )  # fmt: skip
    return errors_of(tmp_path, fires, [np.where(small == 1, 1, 0.0), np.where(large == 1, 1, 0.0)])


def test_errors_are_areas_in_hectares(errors):
    missed, alarmed = errors.to_dict("records")
    assert (missed["missed_ha"], missed["false_alarm_ha"], missed["growth_ha"]) == (16, 0, 16)
    assert (alarmed["missed_ha"], alarmed["false_alarm_ha"], alarmed["fire_size_ha"]) == (0, 16, 5)
    assert missed["calibration_ha"] == alarmed["calibration_ha"] == 16
    assert (missed["wind_speed_m_s"], missed["slope_deg"], missed["frames_seen"]) == (5, 7, 1)
    assert missed["fuel"] == 1  # 7 columns each, but the fire began in the second
    assert np.isnan(missed["unburnable_share"])


def test_the_worst_steps_have_an_error_and_stand_beside_all(errors):
    assert worst_steps(errors, "missed_ha", 5).fire_id.tolist() == ["sequence_001"]
    common = in_common(errors).set_index(["kind", "property"])
    assert common.loc[("missed_ha", "growth_ha"), ["failures", "all"]].tolist() == [16, 8]
    assert common.loc[("missed_ha", "growth_ha"), "rank_correlation"] == pytest.approx(1)
    assert np.isnan(common.loc[("missed_ha", "slope_deg"), "rank_correlation"])  # it does not vary
    assert common.loc[("missed_ha", "fuel"), ["value", "failures", "all"]].tolist() == [1, 1, 1]
    assert isinstance(common, pd.DataFrame)
