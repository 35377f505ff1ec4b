"""Training of a predictor: a plain loop, for it is seconds long and there are a dozen of them.

One network learns all gaps, which are drawn step by step, on windows about the fire. The weights are kept that have the
least error on validation, told as a share of persistence's and averaged over gaps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from emberformer.foresight.networks import Predicting, Task, build_network
from emberformer.foresight.windows import Batch, Windows, cropped
from emberformer.foresight_settings import ForesightSettings, Head, Trained
from emberformer.optimisation import warm_cosine

Target = Literal["feature", "mask"]
CLIP = 1.0  # of the gradient's norm


@dataclass(frozen=True)
class Learned:
    """A trained predictor of features.

    Args:
        windows: whose standard features it predicts.
        network: in evaluation mode.
    """

    windows: Windows
    network: Predicting

    def change(self, batch: Batch, gap: int) -> Float[Tensor, "B Gy Gx Q"]:
        """What the network gives."""
        with torch.inference_mode():
            return self.network(batch, gap)

    def __call__(self, batch: Batch, gap: int) -> Float[Tensor, "B Gy Gx D"]:
        """Standard features `gap` frames later."""
        return self.windows.standard.moved(batch.newest, self.change(batch, gap))


@dataclass(frozen=True)
class LearnedShare:
    """A trained predictor of the burned share of patches."""

    network: Predicting

    def __call__(self, batch: Batch, gap: int) -> Float[Tensor, "B Gy Gx"]:
        """Burned share `gap` frames later, up to 1, and where fires do not go out from what burns already."""
        with torch.inference_mode():
            change = self.network(batch, gap)[..., 0]
        least = batch.share if batch.clips.landscape.stays_burned else torch.zeros_like(change)
        return torch.minimum(torch.maximum(batch.share + change, least), torch.ones_like(change))


def train_predictor(
    windows: Windows,
    of: ForesightSettings,
    trunk: Trained,
    *,
    wind: bool,
    head: Head | None = None,
    target: Target = "feature",
    label: str = "",
) -> Predicting:
    """Train one predictor.

    Args:
        windows: of all data sets.
        of: settings of the study.
        trunk: which predictor.
        wind: whether it is told the wind.
        head: how the conditions enter; None: as the settings say.
        target: components of the features, or the burned share.
        label: for the progress bar.
    """
    torch.manual_seed(of.seed)
    rng = np.random.default_rng(of.seed)
    scale = windows.standard.scale
    outputs = scale if target == "feature" else torch.ones(1)
    task = Task(scale, windows.clips[0].static.shape[-1], outputs, of.gaps, wind)
    network = build_network(task, trunk, head or of.head, of)
    optimizer = torch.optim.AdamW(network.parameters(), of.learning_rate, weight_decay=of.weight_decay)
    schedule = warm_cosine(optimizer, 0.05, of.steps)
    choose, usual = _Drawn(windows, of, rng), usual_loss(windows, of, target)
    every = max(1, of.steps // of.validations)
    best, kept = np.inf, {}
    for step in tqdm(range(1, of.steps + 1), desc=label or trunk, unit="step", delay=1, mininterval=2):
        gap, batch = choose()
        change = network(batch, gap)
        loss = prediction_loss(windows, batch, gap, change, target, of.loss) / usual[gap]
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        optimizer.step()
        schedule.step()
        if step % every == 0 or step == of.steps:
            score = validated(windows, network, of, target)
            if score < best:
                best, kept = score, {name: value.clone() for name, value in network.state_dict().items()}
    if kept:
        network.load_state_dict(kept)
    return network.eval()


class _Drawn:
    """Draws a gap and a batch: windows of training, in a new order each time that all have been seen."""

    def __init__(self, windows: Windows, of: ForesightSettings, rng: np.random.Generator):
        self.windows, self.of, self.rng = windows, of, rng
        self.rows = [part.windows("train", windows.longest) for part in windows.clips]
        self.left: list[tuple[int, np.ndarray]] = []

    def __call__(self) -> tuple[int, Batch]:
        if not self.left:
            for place, rows in enumerate(self.rows):
                mixed = self.rng.permutation(rows)
                size = self.of.batch_size
                self.left += [(place, mixed[at : at + size]) for at in range(0, len(mixed), size)]
            order: list[int] = self.rng.permutation(len(self.left)).tolist()
            self.left = [self.left[number] for number in order]
        gap = int(self.rng.choice(self.of.gaps))
        return gap, cropped(self.windows.batch(*self.left.pop()), gap, self.of.crop, self.rng)


def prediction_loss(
    windows: Windows,
    batch: Batch,
    gap: int,
    change: Float[Tensor, "B Gy Gx Q"],
    target: Target,
    loss: Literal["mse", "smooth_l1"],
) -> Float[Tensor, ""]:
    """Mean over real patches of the squared error, or of smooth L1 (beta 0.1) and 1 - cosine; of shares always squared.

    Args:
        windows: whose standard features are predicted.
        batch: the windows.
        gap: frames ahead.
        change: that the network gives.
        target: features or burned share.
        loss: which one.
    """
    if target == "mask":
        wanted = (batch.share_later(gap) - batch.share)[batch.valid]
        return (change[..., 0][batch.valid] - wanted).square().mean()
    predicted = windows.standard.moved(batch.newest, change)[batch.valid]
    wanted = windows.standard.of(batch.later(gap))[batch.valid]
    if loss == "mse":
        return (predicted - wanted).square().mean()
    apart = 1 - functional.cosine_similarity(predicted, wanted, dim=-1)
    return functional.smooth_l1_loss(predicted, wanted, beta=0.1) + apart.mean()


@torch.inference_mode()
def usual_loss(windows: Windows, of: ForesightSettings, target: Target) -> dict[int, float]:
    """Loss of persistence at each gap on training windows, by which losses are told so that no gap rules the others."""
    found, count = dict.fromkeys(of.gaps, 0.0), 0
    outputs = len(windows.standard.scale) if target == "feature" else 1
    for batch in windows.in_order("train", 1):
        count += len(batch.rows)
        for gap in of.gaps:
            still = torch.zeros(*batch.share.shape, outputs)
            loss = prediction_loss(windows, batch, gap, still, target, of.loss)
            found[gap] += float(loss) * len(batch.rows)
    return {gap: max(total / count, 1e-9) for gap, total in found.items()}


@torch.inference_mode()
def validated(windows: Windows, network: Predicting, of: ForesightSettings, target: Target) -> float:
    """Squared error on the validation windows as a share of persistence's, the mean over gaps; whole frames."""
    error, copied = np.zeros(len(of.gaps)), np.zeros(len(of.gaps))
    network.eval()
    for batch in windows.in_order("validation", of.windows_per_fire):
        for number, gap in enumerate(of.gaps):
            change = network(batch, gap)
            if target == "mask":
                wanted = (batch.share_later(gap) - batch.share)[..., None]
            else:
                wanted = windows.standard.components(batch.later(gap)) - batch.patches[:, -1]
            error[number] += float((change - wanted)[batch.valid].square().sum())
            copied[number] += float(wanted[batch.valid].square().sum())
    network.train()
    return float((error / np.maximum(copied, 1e-12)).mean())
