"""Ensembles from probabilities alone: what an ensemble that samples futures must beat.

A member burns where its level u, from 0 to 1, is at most the probability p, at the first lead with p >= u. Where u is
uniform, the share of members that burn is p, whatever the levels of other pixels; these decide what burns together:

    threshold   u is one number: every member is the same mask. It has no spread
    bernoulli   u is drawn for each pixel by itself, the same at all leads: areas hardly differ between members
    correlated  u = Phi(-(sqrt(rho) z + sqrt(1 - rho) e)), z drawn for each member and e for each pixel: a Gaussian
                copula with one parameter. rho = 0 is bernoulli; with rho = 1 members are level sets of p

Of several methods (seeds of a network, or its passes with dropout) each gives its own members. Their masks at one half
show only where networks disagree, not what all of them hold to be chance; so they are compared fairly with futures that
are drawn only if each network also draws from its own probabilities: `correlated`, of all methods, is that rival.

Where a later probability is lower than an earlier one, the pixel stays burned: p is the highest up to the lead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from jaxtyping import Float, Float32, UInt8
from scipy.special import ndtr
from tqdm import tqdm

from emberformer.arrival_leads import NEVER, NOT_OBSERVED, UNKNOWN
from emberformer.data.fires import fire_rows, held, stays_burned
from emberformer.errors import InputError
from emberformer.member_store import MemberBlock, write_members

Shape = tuple[int, int, int]  # member, y, x
Levels = Callable[[Shape, np.random.Generator], Float32[np.ndarray, "member y x"]]


def threshold_levels(threshold: float) -> Levels:
    """Levels of members that are all the mask of the pixels with at least this probability."""
    return lambda shape, _: np.full(shape, threshold, np.float32)


def bernoulli_levels() -> Levels:
    """Levels of members whose pixels burn independently of each other."""
    return lambda shape, rng: 1 - rng.random(shape, np.float32)  # above 0, so that what cannot burn does not


def correlated_levels(rho: float) -> Levels:
    """Levels of members whose pixels burn together: a Gaussian copula.

    Args:
        rho: correlation of the noise of any two pixels of a member, 0 to 1.
    """
    if not 0 <= rho <= 1:
        raise InputError("correlation of members", f"{rho:g}", "0 to 1", "correct it")

    def levels(shape: Shape, rng: np.random.Generator) -> Float32[np.ndarray, "member y x"]:
        shared = rng.standard_normal((shape[0], 1, 1), np.float32)
        return ndtr(-mixed(shared, rng.standard_normal(shape, np.float32), rho))

    return levels


def mixed(shared: np.ndarray, own: np.ndarray, rho: float) -> np.ndarray:
    """Standard normal noise of which a share rho of the variance is shared by all pixels of a member."""
    return np.float32(np.sqrt(rho)) * shared + np.float32(np.sqrt(1 - rho)) * own


def members_of(
    probability: Float[np.ndarray, "lead y x"],
    burned: UInt8[np.ndarray, "y x"],
    levels: Float32[np.ndarray, "member y x"],
) -> UInt8[np.ndarray, "member y x"]:
    """Members that burn from the first lead on whose probability is at least their level.

    Args:
        probability: burned by each lead; NaN = unknown.
        burned: at the initial time: 1 burned, 0 not, 255 unknown.
        levels: u of each member, above 0 and up to 1.

    Returns:
        Arrival as in `emberformer.arrival_leads`: UNKNOWN where `burned` is, and where a probability of what is not
        burned is NaN. A lead whose probabilities are NaN altogether has no frame; nothing burns by it.
    """
    beyond = np.isnan(probability).all((1, 2))
    probability = probability if beyond.all() else probability[~beyond]
    later = np.zeros(levels.shape, np.uint8)
    highest = np.maximum.accumulate(probability.astype(np.float32), axis=0)
    for of_lead in highest:
        later += ~(of_lead >= levels)
    arrival = np.where(later == len(probability), np.uint8(NEVER), later + np.uint8(1))
    arrival[:, np.isnan(probability).any(0) | (burned == NOT_OBSERVED)] = UNKNOWN
    arrival[:, burned == 1] = 0
    return arrival


def write_rival(
    path: Path,
    forecasts: Sequence[xr.Dataset],
    fires: xr.Dataset,
    levels: Levels,
    *,
    method: str,
    members: int,
    seed: int,
    provenance: Mapping[str, object],
    split: str = "test",
) -> None:
    """Write the member store of a rival ensemble, a forecast at a time.

    Args:
        path: the store; replaced if it exists.
        forecasts: opened forecast stores of probabilities, of one method or of several for the same initial frames.
        fires: the opened fires store of the same data set.
        levels: one of the functions above.
        method: name of the rival.
        members: number of members of each method.
        seed: of the draws; those of a forecast do not depend on what other forecasts there are.
        provenance: what the members were made from.
        split: whose forecasts get members.

    Raises:
        InputError: the stores do not hold the same forecasts, no probabilities, or fires that go out.
    """
    first = forecasts[0]
    shape = (members * len(forecasts), first.sizes["y"], first.sizes["x"])
    write_members(
        path,
        _blocks(_same(forecasts, fires, split), fires, levels, members, seed),
        method=method,
        dataset=first.attrs["dataset"],
        leads=first.sizes["lead"],
        shape=shape,
        provenance={"of": [str(of.attrs["method"]) for of in forecasts], "seed": seed, **provenance},
        sees_target_wind=any(bool(of.attrs.get("sees_target_wind", False)) for of in forecasts),
    )


def _blocks(
    forecasts: Sequence[xr.Dataset], fires: xr.Dataset, levels: Levels, members: int, seed: int
) -> Iterator[MemberBlock]:
    for k in tqdm(range(forecasts[0].sizes["forecast"]), desc="rival members", unit="forecast", mininterval=1):
        one = forecasts[0].isel(forecast=k)
        fire_id, step = str(one.fire_id.values), int(one.init_step)
        rows = fire_rows(fires, fire_id)
        burned = held(fires, rows.start + step)
        rng = np.random.default_rng((seed, rows.start, step))
        arrival = [
            members_of(of.probability[k].values, burned, levels((members, *burned.shape), rng)) for of in forecasts
        ]
        yield MemberBlock(*_place(one), np.concatenate(arrival))


def _place(one: xr.Dataset) -> tuple[str, str, int, np.datetime64, np.ndarray]:
    return (
        str(one.fire_id.values),
        str(one.split.values),
        int(one.init_step),
        one.init_time.values[()],
        one.valid_time.values,
    )


def _same(forecasts: Sequence[xr.Dataset], fires: xr.Dataset, split: str) -> list[xr.Dataset]:
    """The forecasts of a split, which are the same in all stores."""
    if not stays_burned(fires):
        found = f"fires of {fires.attrs['dataset']}, which go out"
        raise InputError("ensemble of arrival times", found, "fires that stay burned", "leave this data set out")
    chosen = []
    for of in forecasts:
        where = f"forecasts of {of.attrs['method']} for {of.attrs['dataset']}"
        if of.attrs["score_kind"] != "probability":
            raise InputError(where, f"score_kind {of.attrs['score_kind']}", "probabilities", "leave the method out")
        one = of.isel(forecast=np.flatnonzero(of.split.values == split))
        chosen.append(one)
        if _frames(one) != _frames(chosen[0]):
            found = f"other initial frames, leads or rasters than those of {forecasts[0].attrs['method']}"
            raise InputError(where, found, "the same of all methods", "forecast again")
    return chosen


def _frames(forecasts: xr.Dataset) -> tuple:
    """What must agree between stores: rasters, leads, fires and initial frames."""
    return (
        forecasts.probability.shape,
        forecasts.lead.values.tolist(),
        forecasts.fire_id.values.tolist(),
        forecasts.init_step.values.tolist(),
    )
