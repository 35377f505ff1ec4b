"""Ensemble sums: one pass over a member store turns each forecast and lead into numbers that add up over fires.

Areas are those burned since the initial time, in hectares, of the pixels that are known. Probabilities are shares of
members, on the pixels within reach: not burned at the initial time, known, and at most `reach_px` pixels a lead from
what was burned then; beyond them any ensemble is right and every score good. Where nothing was burned, nothing is in
reach.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Bool, Float, Int, UInt8
from scipy.sparse import csr_array

from emberformer.arrival_leads import UNKNOWN as MEMBER_UNKNOWN
from emberformer.data.fires import UNKNOWN, stays_burned
from emberformer.errors import InputError
from emberformer.evaluate import ensemble_scores as scores
from emberformer.evaluate.observed import ObservedFrame, observed_frames
from emberformer.evaluate.scored_part import EVERYTHING, ScoredPart
from emberformer.evaluate.scores import calibration_error_of_counts, ratio, reliability
from emberformer.evaluate.verification import RELIABILITY_BINS
from emberformer.geometry import HECTARE, distance_to

REACH_PX = 32.0  # a lead
AREA = ("forecasts", "observed_ha", "mean_ha", "crps", "fair_crps", "energy", "variance", "squared_error", "covered")
PIXELS = ("pixels", "brier", "fair_brier")
QUANTITIES = AREA + PIXELS


class EnsembleSums(NamedTuple):
    """Sums of one ensemble on one data set: a row for each test forecast at each lead that was observed.

    Args:
        method, dataset: as in the member store.
        members: number of members M.
        fires: names of the test fires, sorted; a fire may have no row.
        about: what a row is: columns fire_id, init_step, lead.
        ranks: how many members lie below the observed area, ties drawn [row].
        values: `QUANTITIES` of each row; energy is of the areas by all leads up to the row's [row, quantity].
        reliability: pixels within reach, sum of burn probabilities, sum of observations, by bin [row, sum * bin].
    """

    method: str
    dataset: str
    members: int
    fires: list[str]
    about: pd.DataFrame
    ranks: Int[np.ndarray, " row"]
    values: Float[np.ndarray, "row quantity"]
    reliability: Float[np.ndarray, "row sum_bin"]

    def by_fire(self, lead: int) -> csr_array:
        """Matrix [fire, row] of ones that adds up the rows of a lead by fire."""
        place = pd.Index(self.fires).get_indexer(self.about.fire_id)
        rows = np.flatnonzero(self.about.lead.to_numpy() == lead)
        return csr_array((np.ones(len(rows)), (place[rows], rows)), shape=(len(self.fires), len(place)))


def ensemble_sums_of(
    members: xr.Dataset,
    fires: xr.Dataset,
    *,
    seed: int = 0,
    reach_px: float = REACH_PX,
    part: ScoredPart = EVERYTHING,
) -> EnsembleSums:
    """Sum the test forecasts of a member store against what was observed, a forecast at a time.

    Args:
        members: an opened member store.
        fires: the opened fires store of the same data set.
        seed: of the draws among ties of ranks.
        reach_px: distance from the fire at the initial time, in pixels a lead, within which probabilities are scored.
        part: which forecasts and pixels count.

    Raises:
        InputError: the stores do not belong together, members are missing where the data are known, or fires go out.
    """
    where = f"members of {members.attrs['method']} for {members.attrs['dataset']}"
    if not stays_burned(fires):
        raise InputError(where, "fires that go out", "fires that stay burned", "leave this data set out")
    test = members.isel(forecast=np.flatnonzero(members.split.values == "test"))
    about, ranks, values, of_bins = [], [], [], []
    for frame in observed_frames(test, fires, "score", part):
        if not frame.targets:
            continue
        arrival_lead = test.arrival_lead[frame.place].values[:, *frame.window]
        _require_members(arrival_lead, frame, where)
        rng = np.random.default_rng((seed, frame.place))
        of_area, of_frame = _area_values(arrival_lead, frame, float(fires.attrs["cell_m"]), rng)
        of_pixels, in_bins = _pixel_values(arrival_lead, frame, reach_px)
        about += [(frame.fire_id, frame.init_step, lead) for lead in frame.targets]
        ranks.append(of_frame)
        values.append(np.concatenate([of_area, of_pixels], axis=1))
        of_bins.append(in_bins)
    return EnsembleSums(
        members.attrs["method"],
        members.attrs["dataset"],
        members.sizes["member"],
        sorted(set(test.fire_id.values.tolist())),
        pd.DataFrame(about, columns=["fire_id", "init_step", "lead"]),
        np.concatenate([np.empty(0, int), *ranks]),
        np.concatenate([np.empty((0, len(QUANTITIES))), *values]),
        np.concatenate([np.empty((0, 3 * RELIABILITY_BINS)), *of_bins]),
    )


def ensemble_scores_of(
    values: Float[np.ndarray, "R quantity"], of_bins: Float[np.ndarray, "R sum_bin"], members: int
) -> dict[str, np.ndarray]:
    """Scores [R] of pools of fires from the sums of their rows; see `emberformer.evaluate.ensemble_scores`.

    Areas are means over forecasts in hectares. `area_coverage` is of the central 90 % interval, or the widest that so
    few members have; `area_coverage_nominal` is what members that are like the truth would give.
    """
    of = dict(zip(QUANTITIES, values.T, strict=True))
    mean = {name: ratio(of[name], of["forecasts"]) for name in AREA}
    count, forecast, observed = of_bins.T.reshape(3, RELIABILITY_BINS, -1)
    nominal = scores.central_interval(members).nominal
    return {
        "area_observed_ha": mean["observed_ha"],
        "area_mean_ha": mean["mean_ha"],
        "area_crps_ha": mean["crps"],
        "area_fair_crps_ha": mean["fair_crps"],
        "energy_score_ha": mean["energy"],
        "area_spread_ha": scores.spread(mean["variance"], members),
        "area_rmse_ha": np.sqrt(mean["squared_error"]),
        "area_spread_skill": scores.spread_skill(mean["variance"], mean["squared_error"], members),
        "area_coverage": mean["covered"],
        "area_coverage_nominal": np.where(np.isnan(mean["covered"]), np.nan, nominal),
        "brier": ratio(of["brier"], of["pixels"]),
        "fair_brier": ratio(of["fair_brier"], of["pixels"]),
        "ece": calibration_error_of_counts(count.T, forecast.T, observed.T),
    }


def _require_members(arrival_lead: UInt8[np.ndarray, "member y x"], frame: ObservedFrame, where: str) -> None:
    """Refuse members that are unknown where a forecast is scored, or that burn before the initial time."""
    known = np.any([target != UNKNOWN for target in frame.targets.values()], axis=0) & (frame.burned == 0)
    wrong = (arrival_lead[:, known] == MEMBER_UNKNOWN) | (arrival_lead[:, known] == 0)
    if wrong.any():
        found = f"members that are unknown, or burned at the initial time, for {np.count_nonzero(wrong.any(0))} pixels "
        raise InputError(
            where, f"{found}of {frame.fire_id} from step {frame.init_step}", "a lead or never, where not burned",
            "sample the ensemble again, from the fires store that is scored",
        )  # fmt: skip


def _open(frame: ObservedFrame) -> Bool[np.ndarray, "lead y x"]:
    return np.stack([(frame.burned == 0) & (target != UNKNOWN) for target in frame.targets.values()])


def _area_values(
    arrival_lead: UInt8[np.ndarray, "member y x"], frame: ObservedFrame, cell_m: float, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "lead quantity"], Int[np.ndarray, " lead"]]:
    """`AREA` and the rank of the observed at each lead."""
    members, leads, open_to_burn = len(arrival_lead), list(frame.targets), _open(frame)
    areas = scores.newly_burned_ha(arrival_lead, open_to_burn, leads, cell_m)
    burns = [(target[places] == 1).sum() for target, places in zip(frame.targets.values(), open_to_burn, strict=True)]
    observed = np.array(burns, float) * cell_m**2 / HECTARE
    of_lead, mean = areas.T, areas.mean(0)
    ranks = scores.rank_of_observed(of_lead, observed, rng)
    energy = [scores.energy_score(areas[:, : k + 1], observed[: k + 1]) for k in range(len(observed))]
    found = {
        "forecasts": np.ones(len(observed)),
        "observed_ha": observed,
        "mean_ha": mean,
        "crps": scores.crps(of_lead, observed),
        "fair_crps": scores.fair_crps(of_lead, observed),
        "energy": np.array(energy),
        "variance": scores.variance(of_lead),
        "squared_error": np.square(mean - observed),
        "covered": scores.covered(ranks, members, scores.central_interval(members)).astype(float),
    }
    return np.stack([found[name] for name in AREA], -1), ranks


def _pixel_values(
    arrival_lead: UInt8[np.ndarray, "member y x"], frame: ObservedFrame, reach_px: float
) -> tuple[Float[np.ndarray, "lead quantity"], Float[np.ndarray, "lead sum_bin"]]:
    """`PIXELS` and the sums of reliability at each lead."""
    away, members = distance_to(frame.burned == 1), len(arrival_lead)
    found, of_bins = [], []
    for (lead, target), places in zip(frame.targets.items(), _open(frame), strict=True):
        near = places & (away <= reach_px * lead)
        burned, observed = (arrival_lead[:, near] <= lead).sum(0), target[near]
        share = burned / members
        fair = scores.fair_brier_terms(burned, members, observed).sum()
        found.append((near.sum(), np.square(share - observed).sum(), fair))
        of_bins.append(np.concatenate(reliability(share, observed, RELIABILITY_BINS)))
    return np.array(found, float), np.array(of_bins, float)
