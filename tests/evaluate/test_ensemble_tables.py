"""Tables of ensembles: hand-worked sums, pooling, paired differences, seeds, refusals."""

import json

import numpy as np
import pandas as pd
import pytest

from emberformer.arrival_leads import NEVER, UNKNOWN
from emberformer.errors import InputError
from emberformer.evaluate.ensemble_sums import QUANTITIES, ensemble_sums_of
from emberformer.evaluate.ensemble_tables import evaluate_ensembles
from emberformer.member_store import MemberBlock, open_members, write_members
from emberformer.settings import EvaluationSettings
from tests.small_fires import small_fires, write_small_fires

SETTINGS = EvaluationSettings(replicates=100)
CELL_M = 100.0  # a pixel is a hectare
START = np.datetime64("2023-01-01", "s")


def frame(*pixels: int, unknown: int | None = None) -> np.ndarray:
    """A raster of 2 x 4 with these pixels burned, one not known."""
    found = np.zeros(8, np.uint8)
    found[list(pixels)] = 1
    if unknown is not None:
        found[unknown] = 255
    return found.reshape(2, 4)


def members(*arrivals: dict[int, int]) -> np.ndarray:
    """Members that burn pixel 0 from the start, and others by leads."""
    found = np.full((len(arrivals), 8), NEVER, np.uint8)
    found[:, 0] = 0
    for member, leads in zip(found, arrivals, strict=True):
        for pixel, lead in leads.items():
            member[pixel] = lead
    return found.reshape(-1, 2, 4)


FIRES = {
    "a": [frame(0), frame(0, 1), frame(0, 1, 2, unknown=7)],
    "b": [frame(0), frame(0), frame(0, 4)],
    "left_out": [frame(0), frame(0), frame(0)],
}
FIRST = members({1: 1, 2: 2}, {1: 1, 7: 2}, {})
SECOND = members({}, {4: 2}, {4: 1, 5: 1})


def store(path, by_fire: dict[str, np.ndarray], method: str, init_step: int = 0):
    time = START + 1800 * init_step
    blocks = [
        MemberBlock(
            name, "validation" if name == "left_out" else "test", init_step, time, time + np.array([1800, 3600]), of
        )
        for name, of in by_fire.items()
    ]
    write_members(path, blocks, method=method, dataset="small", leads=2, shape=next(iter(by_fire.values())).shape,
                  provenance={}, sees_target_wind=False)  # fmt: skip
    return path


@pytest.fixture
def fires(tmp_path):
    return write_small_fires(small_fires(FIRES, cell_m=CELL_M), tmp_path / "fires.zarr")


def both() -> dict[str, np.ndarray]:
    return {"b": SECOND, "a": FIRST, "left_out": FIRST}


def test_sums_by_hand(tmp_path):
    stored = open_members(store(tmp_path / "m.zarr", both(), "m"))
    sums = ensemble_sums_of(stored, small_fires(FIRES, cell_m=CELL_M), reach_px=1)
    assert sums.fires == ["a", "b"]
    assert sums.about.to_numpy().tolist() == [["b", 0, 1], ["b", 0, 2], ["a", 0, 1], ["a", 0, 2]]
    found = pd.DataFrame(sums.values, columns=list(QUANTITIES))
    # b, lead 1: areas 0, 0, 2 and nothing burns. |.| = 2; the pairs differ by 0, 2, 2
    assert found.observed_ha.tolist() == [0, 1, 1, 2]
    assert found.mean_ha.tolist() == pytest.approx([2 / 3, 1, 2 / 3, 1])
    assert found.crps[0] == pytest.approx(2 / 3 - 8 / 18)
    assert found.fair_crps[0] == pytest.approx(2 / 3 - 8 / 12)
    # a, lead 2: areas 2, 1, 0 (pixel 7 is not known) and 2 burn
    assert found.crps[3] == pytest.approx(1 - 8 / 18)
    assert found.variance[3] == pytest.approx(1)
    assert found.squared_error[3] == pytest.approx(1)
    # energy over both leads of a: areas (1, 2), (1, 1), (0, 0), observed (1, 2)
    apart = 2 * (1 + np.sqrt(5) + np.sqrt(2)) / (2 * 6)
    assert found.energy[3] == pytest.approx((0 + 1 + np.sqrt(5)) / 3 - apart)
    # within a pixel of pixel 0: pixels 1 and 4 at lead 1; at lead 2 also 2 and 5, which lie 2 and 1.4 away
    assert found.pixels.tolist() == [2, 4, 2, 4]
    assert found.brier[2] == pytest.approx((2 / 3 - 1) ** 2)
    assert found.brier[3] == pytest.approx((2 / 3 - 1) ** 2 + (1 / 3 - 1) ** 2)
    assert found.fair_brier[2] == pytest.approx(1 / 9 - (2 / 3) * (1 / 3) / 2)
    # the observed area of a at lead 1 equals two members: rank 1, 2 or 3; at lead 2 one: 2 or 3
    assert sums.ranks[2] in (1, 2, 3)
    assert sums.ranks[3] in (2, 3)
    np.testing.assert_allclose(sums.reliability.reshape(4, 3, 15).sum(-1), [[2, 1 / 3, 0], [4, 1, 1], [2, 2 / 3, 1],
                                                                            [4, 1, 2]])  # fmt: skip


def test_unknown_members_are_refused_where_the_data_are_known(tmp_path):
    wrong = FIRST.copy()
    wrong[1, 1, 1] = UNKNOWN
    stored = open_members(store(tmp_path / "m.zarr", {"a": wrong}, "m"))
    with pytest.raises(InputError, match="1 pixels of a from step 0"):
        ensemble_sums_of(stored, small_fires(FIRES, cell_m=CELL_M))
    burned_early = FIRST.copy()
    burned_early[0, 1, 1] = 0
    stored = open_members(store(tmp_path / "n.zarr", {"a": burned_early}, "m"))
    with pytest.raises(InputError, match="burned at the initial time"):
        ensemble_sums_of(stored, small_fires(FIRES, cell_m=CELL_M))
    with pytest.raises(InputError, match="go out"):
        ensemble_sums_of(stored, small_fires(FIRES, cell_m=CELL_M, fire_kind="active"))


def test_leads_after_the_end_of_a_fire_are_no_rows(tmp_path):
    stored = open_members(store(tmp_path / "m.zarr", {"b": SECOND}, "m", init_step=1))
    sums = ensemble_sums_of(stored, small_fires(FIRES, cell_m=CELL_M))
    assert sums.about.to_numpy().tolist() == [["b", 1, 1]]


@pytest.fixture
def tables(tmp_path, fires):
    stores = {
        "net-seed-0": both(),
        "net-seed-1": {"a": SECOND, "b": FIRST},
        "same": {"a": members({1: 1}, {1: 1}, {1: 1}), "b": members({}, {}, {})},
    }
    paths = {name: {"small": store(tmp_path / f"{name}.zarr", of, name)} for name, of in stores.items()}
    folder = tmp_path / "tables"
    results = evaluate_ensembles(paths, {"small": fires}, folder, SETTINGS, subject="net", reach_px=1)
    return folder, results


def value(folder, method: str, metric: str, lead: int, column: str = "value") -> float:
    table = pd.read_csv(folder / "ensemble_scores.csv").set_index(["method", "dataset", "lead", "metric"])
    return float(table.loc[(method, "small", lead, metric), column])


def test_scores_are_means_over_forecasts(tables):
    folder, _ = tables
    # a and b at lead 2: areas 2, 1, 0 of 2, and 0, 1, 2 of 1
    assert value(folder, "net-seed-0", "area_crps_ha", 2) == pytest.approx(((1 - 8 / 18) + (2 / 3 - 8 / 18)) / 2, 1e-5)
    assert value(folder, "net-seed-0", "area_spread_ha", 2) == pytest.approx(np.sqrt(4 / 3), 1e-5)
    assert value(folder, "net-seed-0", "area_rmse_ha", 2) == pytest.approx(np.sqrt(0.5), 1e-5)
    assert value(folder, "net-seed-0", "area_coverage_nominal", 2) == 0.5
    assert value(folder, "net-seed-0", "area_crps_ha", 2, "n_fires") == 2
    # equal members: the CRPS is the absolute error, the spread 0
    assert value(folder, "same", "area_crps_ha", 2) == pytest.approx((1 + 1) / 2)
    assert value(folder, "same", "area_spread_ha", 2) == 0
    assert value(folder, "same", "area_crps_ha", 2, "members") == 3


def test_seeds_are_averaged_and_compared(tables):
    folder, results = tables
    seeds = [value(folder, f"net-seed-{k}", "area_crps_ha", 1) for k in (0, 1)]
    mean = "net (mean of 2 seeds)"
    assert value(folder, mean, "area_crps_ha", 1) == pytest.approx(np.mean(seeds), rel=1e-5)
    assert value(folder, mean, "area_crps_ha", 1, "seed_sd") == pytest.approx(np.std(seeds, ddof=1), rel=1e-4)
    differences = pd.read_csv(folder / "ensemble_differences.csv")
    assert set(differences.method) == {mean}
    assert set(differences.rival) == {"same"}
    row = differences.set_index(["dataset", "lead", "metric"]).loc[("small", 1, "area_crps_ha")]
    expected = np.mean(seeds) - value(folder, "same", "area_crps_ha", 1)
    assert row.value == pytest.approx(expected, abs=1e-5)
    replicates = (
        results[mean].scores[("small", 1)]["area_crps_ha"] - results["same"].scores[("small", 1)]["area_crps_ha"]
    )[1:]
    assert (row.low, row.high) == pytest.approx(np.quantile(replicates, [0.025, 0.975]), abs=1e-5)


def test_other_tables(tables):
    folder, _ = tables
    ranks = pd.read_csv(folder / "rank_histogram.csv")
    of_seed = ranks.loc[(ranks.method == "net-seed-0") & (ranks.dataset == "small") & (ranks.lead == 1)]
    assert of_seed["rank"].tolist() == [0, 1, 2, 3]
    assert of_seed.n_forecasts.sum() == 2
    assert (of_seed.n_if_flat == 0.5).all()
    of_mean = ranks.loc[(ranks.method == "net (mean of 2 seeds)") & (ranks.dataset == "all") & (ranks.lead == 1)]
    assert of_mean.n_forecasts.sum() == 4
    fires = pd.read_csv(folder / "per_fire.csv").set_index(["method", "fire_id", "lead"])
    assert fires.loc[("same", "a", 2), "area_crps_ha"] == 1
    assert fires.loc[("same", "b", 1), "area_crps_ha"] == 0
    reliability = pd.read_csv(folder / "reliability.csv")
    of_same = reliability.loc[(reliability.method == "same") & (reliability.dataset == "all") & (reliability.lead == 1)]
    assert of_same.n_pixels.tolist() == [3] + 13 * [0] + [1]  # pixels 1 and 4 of both fires
    about = json.loads((folder / "ensembles.json").read_text())
    assert about["coverage"]["same"] == {"place": 1, "nominal": 0.5}
    assert about["reach_px_per_lead"] == 1


def test_what_does_not_belong_together_is_named(tmp_path, fires):
    full = {"small": store(tmp_path / "a.zarr", both(), "a")}
    part = {"small": store(tmp_path / "b.zarr", {"a": FIRST}, "b")}
    with pytest.raises(InputError, match="other steps than those of a, at first of b"):
        evaluate_ensembles({"a": full, "b": part}, {"small": fires}, tmp_path / "t", SETTINGS, subject="a")
    with pytest.raises(InputError, match="subject"):
        evaluate_ensembles({"a": full}, {"small": fires}, tmp_path / "t", SETTINGS, subject="c")
    with pytest.raises(InputError, match="every method"):
        evaluate_ensembles({"a": {}}, {"small": fires}, tmp_path / "t", SETTINGS, subject="a")
    assert not (tmp_path / "t").exists()
