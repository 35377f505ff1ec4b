"""Pictures of forecasts beside what was observed, drawn while a network trains; looking changes no number."""

from __future__ import annotations

from typing import NamedTuple

import lightning
import matplotlib
import numpy as np
import torch
from jaxtyping import Float, UInt8
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from emberformer.dataset import FireSteps
from emberformer.landscape import UNKNOWN

TITLES = ("burned so far", "forecast of new fire", "observed new fire")
BURNED, UNBURNED, NEW, NOT_KNOWN = (0.45, 0.45, 0.45), (0.93, 0.93, 0.9), (0.8, 0.2, 0.05), (1.0, 1.0, 1.0)
PIXELS = 160  # side of a drawn map; larger ones are thinned out, so that drawing takes no time to speak of
KEY = "val/previews"


class Preview(NamedTuple):
    """One forecast: its name, what had burned (1), the probability of burning next, and what did (255 = unknown)."""

    name: str
    burned: UInt8[np.ndarray, "H W"]
    probability: Float[np.ndarray, "H W"]
    observed: UInt8[np.ndarray, "H W"]


def draw_previews(previews: list[Preview]) -> UInt8[np.ndarray, "height width 3"]:
    """A picture with a row for each forecast: the newest burned area, the forecast, what was observed."""
    figure = Figure(figsize=(6, 2 * len(previews) + 0.3), dpi=80)
    axes = figure.subplots(len(previews), len(TITLES), squeeze=False)
    figure.subplots_adjust(0.01, 0.01, 0.99, 1 - 0.5 / (2 * len(previews) + 0.3), 0.03, 0.14)
    for row, preview in zip(axes, previews, strict=True):
        for axis, colours in zip(row, colours_of(preview), strict=True):
            axis.imshow(colours, interpolation="nearest")
            axis.set_axis_off()
        row[0].set_title(preview.name, fontsize=7, loc="left", pad=2)
    for axis, title in zip(axes[0], TITLES, strict=True):
        axis.text(0.5, 1.1, title, transform=axis.transAxes, fontsize=8, ha="center", va="bottom")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def colours_of(preview: Preview) -> list[Float[np.ndarray, "h w 3"]]:
    """Colours of the three maps, thinned out; what had burned is grey in all of them."""
    thin = -(-max(preview.burned.shape) // PIXELS)
    burned, probability, observed = (values[::thin, ::thin] for values in preview[1:])
    so_far = np.where((burned == 1)[..., None], BURNED, UNBURNED)
    shades = matplotlib.colormaps["YlOrRd"](np.clip(probability, 0, 1))[..., :3]
    forecast = np.where((burned == 1)[..., None], BURNED, shades)
    new = (observed == 1) & (burned != 1)
    seen = np.where(new[..., None], NEW, so_far)
    seen = np.where(((observed == UNKNOWN) & (burned != 1))[..., None], NOT_KNOWN, seen)
    return [so_far, forecast, seen]


class Previews(lightning.Callback):
    """After each validation, draws the forecasts of its first steps for TensorBoard and Weights & Biases.

    The network's own outputs are looked at as they pass, so nothing is computed twice and no chance is drawn. They are
    not calibrated, as the calibration follows from the whole validation.

    Args:
        steps: what the validation serves, for the names.
        number: forecasts to draw.
    """

    def __init__(self, steps: FireSteps, number: int):
        self.steps, self.number = steps, number
        self.logits: torch.Tensor | None = None
        self.kept: list[Preview] = []
        self.hook: torch.utils.hooks.RemovableHandle | None = None

    def on_validation_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Look at what the network gives from here on."""
        self.kept.clear()
        if trainer.is_global_zero:
            self.hook = pl_module.model.register_forward_hook(self._keep)  # type: ignore[union-attr]

    def _keep(self, model: torch.nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        self.logits = output.detach()

    def on_validation_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs, batch, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Keep the first forecasts; after them the network is watched no longer."""
        if self.hook is None or self.logits is None:
            return
        missing = self.number - len(self.kept)
        probability = torch.sigmoid(self.logits[:missing].float()).cpu().numpy()
        burned = batch["fire_pixels"][:missing, 0].cpu().numpy().astype(np.uint8)
        observed = batch["target"][:missing].cpu().numpy()
        names = [self._name(index) for index in batch["index"][:missing].tolist()]
        self.kept += [Preview(*parts) for parts in zip(names, burned, probability, observed, strict=True)]
        self.logits = None
        if len(self.kept) == self.number:
            self._look_away()

    def _name(self, index: int) -> str:
        step = self.steps.steps[index]
        landscape = self.steps.landscapes[step.landscape]
        ahead = f", {step.lead} ahead" if step.lead > 1 else ""
        return f"{landscape.fires.fire_id.values[step.fire]}, step {step.step}{ahead}"

    def _look_away(self) -> None:
        if self.hook is not None:
            self.hook.remove()
            self.hook = None

    def on_validation_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Draw them."""
        self._look_away()
        if not self.kept:
            return
        picture = draw_previews(self.kept)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image(KEY, picture, trainer.current_epoch, dataformats="HWC")
            elif isinstance(logger, WandbLogger):
                logger.log_image(KEY, [picture], caption=[f"epoch {trainer.current_epoch}"])
