"""Predictors without training steps: persistence, climatology, damped persistence and ridge regression.

copy         what the newest frame shows
climatology  the mean of all training frames
damped       a z, with one damping a for each dimension and gap: what shrinkage alone gains over copying (X62)
ridge        copy, and an affine map of the patch's components to the change of its components
ridge_3x3    likewise, of the patches around it too

All of them are fitted on the training windows that reach the longest gap, the same for every gap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from emberformer.foresight.standard import Standard
from emberformer.foresight.windows import Batch, Windows


@dataclass(frozen=True)
class Copy:
    """Persistence."""

    standard: Standard

    def __call__(self, batch: Batch, gap: int) -> Float[Tensor, "B Gy Gx D"]:
        """Standard features `gap` frames later."""
        return self.standard.of(batch.newest)


@dataclass(frozen=True)
class Climatology:
    """The training mean, which is zero in standard features."""

    standard: Standard

    def __call__(self, batch: Batch, gap: int) -> Float[Tensor, "B Gy Gx D"]:
        """Standard features `gap` frames later."""
        return torch.zeros_like(batch.newest, dtype=torch.float32)


@dataclass(frozen=True)
class Damped:
    """Damped persistence.

    Args:
        standard: of the features.
        damping: gap -> least-squares slope of each dimension, through the training mean.
    """

    standard: Standard
    damping: dict[int, Float[Tensor, " D"]]

    def __call__(self, batch: Batch, gap: int) -> Float[Tensor, "B Gy Gx D"]:
        """Standard features `gap` frames later."""
        return self.standard.of(batch.newest) * self.damping[gap]


@dataclass(frozen=True)
class Ridge:
    """Residual ridge regression.

    Args:
        standard: of the features.
        around: components that are taken of each patch around a patch; 0: it stands alone.
        weight: gap -> map of the inputs and a one to the change of the components.
    """

    standard: Standard
    around: int
    weight: dict[int, Float[Tensor, "I K"]]

    def __call__(self, batch: Batch, gap: int) -> Float[Tensor, "B Gy Gx D"]:
        """Standard features `gap` frames later."""
        return self.standard.moved(batch.newest, inputs(batch, self.around) @ self.weight[gap])


def inputs(batch: Batch, around: int) -> Float[Tensor, "B Gy Gx I"]:
    """Components of each patch, of those around it, and a one; zero beyond the grid."""
    own = batch.patches[:, -1]
    parts = [own]
    if around:
        wide = torch.nn.functional.pad(own[..., :around], (0, 0, 1, 1, 1, 1))
        rows, columns = own.shape[1:3]
        parts += [wide[:, y : y + rows, x : x + columns] for y in range(3) for x in range(3) if (y, x) != (1, 1)]
    return torch.cat([*parts, torch.ones_like(own[..., :1])], -1)


def fit_damped(windows: Windows, gaps: Sequence[int]) -> Damped:
    """Least squares over the training windows: a = sum z z' / sum z z, for each dimension."""
    standard = windows.standard
    products = {gap: torch.zeros(len(standard.mean), dtype=torch.float64) for gap in gaps}
    square = torch.zeros(len(standard.mean), dtype=torch.float64)
    for batch in windows.in_order("train", None):
        now = standard.of(batch.newest)[batch.valid]
        square += now.square().sum(0).double()
        for gap in gaps:
            products[gap] += (now * standard.of(batch.later(gap))[batch.valid]).sum(0).double()
    return Damped(standard, {gap: (of / square.clamp(min=1e-12)).float() for gap, of in products.items()})


def fit_ridge(windows: Windows, gaps: Sequence[int], around: int, penalties: Sequence[float]) -> Ridge:
    """Closed form over the training windows, with the penalty of least error on validation for each gap.

    Args:
        windows: of all data sets.
        gaps: frames ahead.
        around: see `Ridge`.
        penalties: relative to the mean square of the inputs; the one is not penalised.
    """
    square, product = _moments(windows, gaps, around)
    scale = float(np.diag(square)[:-1].mean())
    found: dict[int, list[Tensor]] = {}
    for gap in gaps:
        for penalty in penalties:
            penalised = np.diag(np.r_[np.full(len(square) - 1, penalty * scale), 0])
            solved = np.linalg.solve(square + penalised, product[gap])
            found.setdefault(gap, []).append(torch.from_numpy(solved.astype(np.float32)))
    errors = {gap: np.zeros(len(penalties)) for gap in gaps}
    for batch in windows.in_order("validation", None):
        told, now = inputs(batch, around), batch.patches[:, -1]
        for gap in gaps:
            change = windows.standard.components(batch.later(gap)) - now
            for number, weight in enumerate(found[gap]):
                errors[gap][number] += float((told @ weight - change)[batch.valid].square().sum())
    return Ridge(windows.standard, around, {gap: found[gap][int(errors[gap].argmin())] for gap in gaps})


def _moments(windows: Windows, gaps: Sequence[int], around: int) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """Products of the inputs with themselves, and with the change to each gap."""
    square: np.ndarray | float = 0.0
    product: dict[int, np.ndarray | float] = dict.fromkeys(gaps, 0.0)
    for batch in tqdm(windows.in_order("train", None), desc="ridge", unit="batch", delay=1):
        told, now = inputs(batch, around)[batch.valid], batch.patches[:, -1]
        square = square + (told.T @ told).double().numpy()
        for gap in gaps:
            change = (windows.standard.components(batch.later(gap)) - now)[batch.valid]
            product[gap] = product[gap] + (told.T @ change).double().numpy()
    return np.asarray(square), {gap: np.asarray(of) for gap, of in product.items()}
