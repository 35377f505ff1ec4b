"""Reading fire from features: a linear map of a patch's token to burned shares, and overlaps of such shares.

    probe    burned share of the patch
    decoder  burned share of each of its cells; a cell is burned from one half on

Both are ridge regressions on true features of the training fires. A prediction of features is read by the same maps, so
that what is lost is lost by the prediction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from emberformer.foresight.clips import Clips
from emberformer.foresight.standard import Standard
from emberformer.landscape import Landscape
from emberformer.patch_arrays import cell_shares

PENALTY = 1e-3  # of the squared weights, relative to the number of patches
AT_ONCE = 64  # frames
HALF = 0.5
Shares = tuple[Float[Tensor, "B Gy Gx"], Float[Tensor, "B Gy Gx C"]]


@dataclass(frozen=True)
class MaskDecoder:
    """Linear map from standard features to shares.

    Args:
        weight: of the features and of a one; the first column tells the patch, the others its cells, row by row.
    """

    weight: Float[Tensor, "I Q"]

    def __call__(self, standard: Float[Tensor, "B Gy Gx D"]) -> Shares:
        """Burned share of patches and of their cells, from 0 to 1."""
        told = (standard @ self.weight[:-1] + self.weight[-1]).clamp(0, 1)
        return told[..., 0], told[..., 1:]


def fit_decoder(clips: Sequence[Clips], standard: Standard, cells: int) -> MaskDecoder:
    """Fit on all frames of the training fires.

    Args:
        clips: of all data sets.
        standard: of their features.
        cells: on a side of a patch.
    """
    length = clips[0].features.shape[-1] + 1
    square, product = np.zeros((length, length)), np.zeros((length, 1 + cells**2))
    count = 0
    for part in clips:
        training = np.flatnonzero(np.array(part.split)[part.fire_of] == "train")
        for at in range(0, len(training), AT_ONCE):
            rows = training[at : at + AT_ONCE]
            frames = torch.from_numpy(rows)
            features = standard.of(part.features[frames])[:, part.valid].flatten(0, 1)
            told = functional.pad(features, (0, 1), value=1.0)
            shares = torch.cat([part.share[frames][..., None], burned_cells(part, rows, cells)], -1)
            wanted = shares[:, part.valid].flatten(0, 1)
            square += (told.T @ told).double().numpy()
            product += (told.T @ wanted).double().numpy()
            count += len(told)
    penalised = square + np.diag(np.r_[np.full(length - 1, PENALTY * count), 0])
    return MaskDecoder(torch.from_numpy(np.linalg.solve(penalised, product).astype(np.float32)))


def burned_cells(clips: Clips, rows: np.ndarray, cells: int) -> Float[Tensor, "B Gy Gx C"]:
    """Burned share of the cells of each patch of some frames, as observed; beyond the raster nothing burns.

    Raises:
        InputError: a patch cannot be cut into so many cells.
    """
    landscape = clips.landscape
    found = []
    for row in rows:
        fire = int(clips.fire_of[row])
        stored = int(landscape.row_start[clips.fires[fire]]) + int(row - clips.start[fire])
        found.append(landscape.burned(int(clips.fires[fire]), range(stored, stored + 1))[0] == 1)
    return read_cells(np.stack(found).astype(np.float32), landscape, cells)


def read_cells(burned: Float[np.ndarray, "B H W"], landscape: Landscape, cells: int) -> Float[Tensor, "B Gy Gx C"]:
    """Mean of burned areas or probabilities over the cells of each patch.

    Raises:
        InputError: a patch cannot be cut into so many cells.
    """
    return torch.from_numpy(cell_shares(burned, landscape.grid, landscape.pixels, cells, "foresight.cells"))


def overlaps(
    forecast: Float[Tensor, "*shape"],
    observed: Float[Tensor, "*shape"],
    now: Float[Tensor, "*shape"],
    stays_burned: bool = True,
) -> dict[str, Float[np.ndarray, " B"]]:
    """Sums from which the IoU of shares follows: of all that burns, and of what burns anew.

    IoU = sum min(f, o) / sum max(f, o), which for shares of 0 and 1 is that of sets. Where what burns stays burned, the
    forecast is at least what burns now; anew is what lies above that.

    Args:
        forecast: shares.
        observed: shares at the same time.
        now: shares in the newest frame.
        stays_burned: false: fires go out.
    """
    forecast = torch.maximum(forecast, now) if stays_burned else forecast
    grown, grew = (forecast - now).clamp(min=0), (observed - now).clamp(min=0)
    pairs = {
        "common": torch.minimum(forecast, observed), "either": torch.maximum(forecast, observed),
        "common_new": torch.minimum(grown, grew), "either_new": torch.maximum(grown, grew),
        "squared": (forecast - observed).square(), "cells": torch.ones_like(observed),
    }  # fmt: skip
    return {name: of.flatten(1).sum(1).double().numpy() for name, of in pairs.items()}
