"""Permutation importance: how much worse new fire is forecast when the network is told another fire's input.

Reference: Breiman (2001), Random forests, doi:10.1023/A:1010933404324, section 10; Fisher, Rudin and Dominici (2019),
arXiv:1801.01489.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from emberformer.dataset import Step
from emberformer.evaluate.bootstrap import fire_weights, percentile_interval
from emberformer.evaluate.scores import average_precision_of_counts
from emberformer.evaluate.verification import BINS, bin_index
from emberformer.interpretation.subject import HISTORY, WIND, Batch, Subject, band_channels
from emberformer.losses import counted_pixels

STEPS = 24  # that are forecast anew for every input
INTACT = "nothing"


def permutation_importance(subject: Subject, replicates: int, seed: int) -> pd.DataFrame:
    """Drop of new-fire average precision when one input comes from another fire.

    Each sampled step has one donor, a step of another fire, on another window of ground, with as many frames seen; of
    each input that the network takes, its part is replaced by the donor's: a terrain band (its channels on the raster
    and its tokens), the wind, or the history (all but the newest frame). The newest burned area always stays. Where all
    fires are on the same ground, no terrain is replaced, for it would be by itself; where windows of ground overlap, a
    part of it is.

    Args:
        subject: network and steps.
        replicates: bootstrap resamples of fires.
        seed: of donors and resamples.

    Returns:
        One row an input: average precision intact and permuted, their difference `drop` with its 95 % interval over
        fires (`low`, `high`), and the numbers of fires and steps; NaN where no pixel burned. Empty where no step has a
        donor.
    """
    pairs = _with_donors(subject, subject.sampled(STEPS), seed)
    parts = input_parts(subject)
    if on_one_ground(subject):
        parts = {name: part for name, part in parts.items() if name in (WIND, HISTORY)}
    fires = sorted({step.fire for step, _ in pairs})
    counts = np.zeros((1 + len(parts), len(fires), 2, BINS))
    for batch in subject.batches(pairs, "permutation importance"):
        place = fires.index(batch.steps[0].fire)
        for row, name in enumerate([INTACT, *parts]):
            counts[row, place] += _counts(subject, batch, parts.get(name, {}))
    weights = fire_weights(len(fires), replicates, seed)
    scores = average_precision_of_counts(np.einsum("rf,pfob->prob", weights, counts))
    rows = []
    for name, permuted in zip(parts, scores[1:], strict=True):
        drop = scores[0] - permuted
        low, high = percentile_interval(drop) if len(fires) > 1 else (np.nan, np.nan)
        rows.append(
            {"permuted": name, "average_precision": scores[0, 0], "average_precision_permuted": permuted[0],
             "drop": drop[0], "low": low, "high": high, "n_fires": len(fires), "n_steps": len(pairs)}
        )  # fmt: skip
    columns = [
        "permuted",
        "average_precision",
        "average_precision_permuted",
        "drop",
        "low",
        "high",
        "n_fires",
        "n_steps",
    ]
    return pd.DataFrame(rows if pairs else [], columns=columns)


def on_one_ground(subject: Subject) -> bool:
    """Whether several fires burn on the same window of the same ground, so that another one's terrain is their own."""
    fires = {step.fire for step in subject.steps}
    return len(fires) > 1 and len({int(subject.landscape.terrain_index[fire]) for fire in fires}) == 1


def input_parts(subject: Subject) -> dict[str, dict[str, list[int] | slice]]:
    """Input -> array of the inner network -> what of it belongs to the input, along the axis after the batch's."""
    taken = set(subject.inner.inputs)
    past: dict[str, list[int] | slice] = {
        key: slice(0, -1) for key in ("frame_patches", "history_pixels", "valid_t") if key in taken
    }
    history = {HISTORY: past | {"fire_pixels": [1]}} if {"frame_patches", "history_pixels"} & taken else {}
    wind: dict[str, dict[str, list[int] | slice]] = {WIND: {"wind": slice(None)}} if "wind" in taken else {}
    bands: dict[str, dict[str, list[int] | slice]] = {
        band: {key: channels for key, channels in of.items() if key in taken and channels}
        for band, of in band_channels(subject.sizes).items()
    }
    return {name: part for name, part in {**bands, **wind, **history}.items() if part}


def with_part_of(
    inputs: dict[str, Tensor], part: dict[str, list[int] | slice], item: int, donor: int
) -> dict[str, Tensor]:
    """One item of a batch, with a part of its inputs taken from another item."""
    result = {key: value[item : item + 1] for key, value in inputs.items()}
    for key, places in part.items():
        result[key] = result[key].clone()
        result[key][:, places] = inputs[key][donor : donor + 1, places]
    return result


def _counts(subject: Subject, batch: Batch, part: dict[str, list[int] | slice]) -> np.ndarray:
    """New-fire pixels by observation and forecast bin, of the batch's first step."""
    with torch.inference_mode():
        logits = subject.inner(**with_part_of(batch.inputs, part, 0, 1)).float()
    target, counted = batch.arrays["target"][:1], counted_pixels(batch.arrays)[:1]
    forecast = torch.sigmoid(logits[counted]).cpu().numpy()
    place = bin_index(forecast, "probability") + BINS * (target[counted] == 1).cpu().numpy().astype(np.intp)
    return np.bincount(place, minlength=2 * BINS).reshape(2, BINS)


def _with_donors(subject: Subject, steps: Sequence[Step], seed: int) -> list[tuple[Step, Step]]:
    """Steps with a donor each: of another fire and, unless all are on one, another ground, as many frames seen; a step
    without any is left out.
    """
    rng = np.random.default_rng(seed)
    pairs, ground = [], subject.landscape.terrain_index
    apart = range(len(ground)) if on_one_ground(subject) else ground  # of each fire what a donor's must differ from
    for step in steps:
        seen = subject.frames_seen(step)
        donors = [
            other for other in subject.steps
            if apart[other.fire] != apart[step.fire] and subject.frames_seen(other) == seen
        ]  # fmt: skip
        if donors:
            pairs.append((step, donors[int(rng.integers(len(donors)))]))
    return pairs
