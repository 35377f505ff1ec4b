"""Several steps ahead: directly as far as a network was trained for that, and by rollout beyond.

In a rollout a forecast is fed back as the newest frame, and the next step is forecast from there. What is fed back is a
burned area again, or its probability:

    threshold    what is forecast at 50 % or more
    probability  the probability itself, as a frame that burns in part
    stochastic   members: each burns what is forecast at a level of its own or more. It keeps its level for all steps,
                 so that a member that spreads fast goes on to do so. One level is drawn from each M-th of 0 to 1 for
                 M members, so that after one step a pixel burns in as many of them as its probability says; the
                 forecast of a later step is the mean of theirs

A pixel that burns stays burned: no probability falls from step to step.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from emberformer.calibration import NOT_CALIBRATED, Calibration
from emberformer.checkpoint import model_inputs
from emberformer.data.normalise import WIND_SCALE
from emberformer.features.backbone import Backbone, load_backbone, require_weights
from emberformer.features.encoding import Encoding
from emberformer.features.rendering import dino_input, valid_share
from emberformer.landscape import Landscape
from emberformer.model.adjustment import past_steps
from emberformer.network import SpreadNetwork
from emberformer.settings import FeatureSettings, Feedback, ForecastSettings

NUMBERS = itertools.count(2**60)  # of frames that are in no store: every one has its own


@dataclass(frozen=True)
class FrameEncoder:
    """Tokens of a frame that is in no store, as a reader of the store would get them.

    Args:
        backbone: what made the store, with its chosen layers.
        encoding: how the store keeps tokens.
        scale: of the rendering, `FeatureSettings.scale`.
        layers: blocks whose tokens the backbone gives, `FeatureSettings.layers`.
        block: block after which `frame_hidden` holds the tokens; None: it is not asked for.
    """

    backbone: Backbone
    encoding: Encoding
    scale: float
    layers: tuple[int, ...]
    block: int | None = None

    def __call__(self, images: Float[Tensor, "B H W"]) -> dict[str, Tensor]:
        """Tokens [B 1 ...] by the name of the array that they continue, in float32."""
        seen = self.backbone.encode(dino_input(images, self.backbone.patch_size, self.scale))
        found = {"frame_patches": self.encoding.rounded(seen.patches, "frame")[:, None], "frame_layers": seen.layers}
        if self.block is not None:
            number = self.layers.index(self.block)
            patches, prefix = seen.layers[:, number].flatten(1, 2), seen.layers_prefix[:, number]
            found["frame_hidden"] = torch.cat([prefix, patches], 1)[:, None]
        return found


@dataclass(frozen=True)
class Rollout:
    """Forecasts of several steps.

    Args:
        model: the network.
        direct: lead times that it forecasts directly, from 1 on.
        pixels: raster pixels on a side of a patch.
        encode: tokens of frames that are fed back; None for a network that takes none.
        feedback: what is fed back.
        members: with stochastic feedback.
        seed: of the members' levels.
        calibration: of its logits, see `probability_of`.
    """

    model: SpreadNetwork
    direct: int
    pixels: int
    encode: FrameEncoder | None
    feedback: Feedback
    members: int
    seed: int
    calibration: Calibration = NOT_CALIBRATED

    def __call__(
        self, batch: dict[str, Tensor], winds: Float[Tensor, "B L 2"], unknown: Bool[Tensor, "B y x"]
    ) -> Float[np.ndarray, "B L H W"]:
        """Probability that a pixel is burned after each step; 1 where it is burned already.

        Args:
            batch: `model.inputs`, `wind` and `valid_t` for the first step (`emberformer.dataset.FireSteps`).
            winds: towards east and north, m s-1, of each step to forecast; NaN where unknown. The first takes the
                place of the batch's own.
            unknown: pixels of the raster, which lies at the upper left of the patches, that were not observed. Neither
                they nor what lies beyond the raster ever burns.
        """
        leads = winds.shape[1]
        with torch.inference_mode():
            batch = told_ahead(batch, winds, 1)
            direct = [
                self._probability(told_ahead(batch, winds, lead)) for lead in range(1, min(self.direct, leads) + 1)
            ]
            found = torch.stack(direct, 1)
            if leads > len(direct):
                levels = self._levels(batch)
                each = [list(self._later(batch, winds, unknown, direct[0], level)) for level in levels]
                rolled = torch.stack([torch.stack(member, 1) for member in each]).mean(0)
                found = torch.cat([found, rolled[:, len(direct) - 1 :]], 1)
            # Few members may miss what the first step holds possible, and a network may forecast less for later.
            return found.cummax(1).values.cpu().numpy()

    def _levels(self, batch: dict[str, Tensor]) -> list[Float[Tensor, "B 1 1"] | None]:
        """Level above which each member burns; one member without a level where the probability is fed back."""
        if self.feedback == "probability":
            return [None]
        if self.feedback == "threshold":
            return [batch["fire_pixels"].new_full((len(batch["index"]), 1, 1), 0.5)]
        drawn = [1 - np.random.default_rng((self.seed, int(index))).random() for index in batch["index"].tolist()]
        start = torch.tensor(drawn, dtype=torch.float32, device=batch["fire_pixels"].device)[:, None, None]
        return [(start + number) / self.members for number in range(self.members)]

    def _later(
        self,
        batch: dict[str, Tensor],
        winds: Tensor,
        unknown: Tensor,
        probability: Float[Tensor, "B H W"],
        level: Tensor | None,
    ) -> Iterator[Float[Tensor, "B H W"]]:
        """A member's forecasts of the second step and those after it."""
        history = past_steps(batch["fire_pixels"], batch["wind"], batch["valid_t"]).burned.flip(1).float()
        beyond = [there - own for there, own in zip(history.shape[2:], unknown.shape[1:], strict=True)]
        closed = functional.pad(unknown, (0, beyond[1], 0, beyond[0]), value=True)
        for step in range(1, winds.shape[1]):
            frame = probability if level is None else (probability >= level).float()
            frame = torch.where(closed, 0, torch.maximum(frame, history[:, -1]))
            batch, history = self.advance(batch, history, frame, winds[:, step], unknown)
            probability = torch.maximum(self._probability(batch), frame)
            yield probability

    def _probability(self, batch: dict[str, Tensor]) -> Float[Tensor, "B H W"]:
        return probability_of(self.model, batch, self.calibration)

    def advance(
        self,
        batch: dict[str, Tensor],
        history: Float[Tensor, "B T H W"],
        frame: Float[Tensor, "B H W"],
        wind: Float[Tensor, "B 2"],
        unknown: Bool[Tensor, "B y x"],
    ) -> tuple[dict[str, Tensor], Float[Tensor, "B T H W"]]:
        """Inputs and history one step later.

        Args:
            batch: inputs of the step before.
            history: its burned areas, oldest first, zero where padded.
            frame: the newest burned area.
            wind: of the coming step, as `winds` of a call.
            unknown: as in a call.
        """
        height, width = unknown.shape[1:]
        image = torch.where(unknown, 0.5, frame[:, :height, :width])  # rendering pads with 0
        number = torch.tensor([next(NUMBERS) for _ in range(len(frame))], device=frame.device)
        history = later(history, frame[:, None])
        valid_t = later(batch["valid_t"], torch.ones_like(batch["valid_t"][:, :1]))
        newest: dict[str, Callable[[], Tensor]] = {
            "wind": lambda: _wind_input(wind)[:, None],
            "history_pixels": lambda: frame[:, None],
            "frame_images": lambda: image[:, None],
            "frame_row": lambda: number[:, None],
            "occupancy": lambda: self._occupancy(frame, (height, width)),
        }
        result = dict(batch, valid_t=valid_t)
        result["fire_pixels"] = torch.stack([frame, history.sum(1) / valid_t.sum(1)[:, None, None]], 1)
        for name in newest.keys() & batch.keys():
            result[name] = later(batch[name], newest[name]())
        if self.encode is not None:
            for name, tokens in self.encode(image).items():
                if name == "frame_layers" and name in batch:
                    result[name] = tokens.to(batch[name].dtype)
                elif name in batch:
                    result[name] = later(batch[name], tokens)
        return result, history

    def _occupancy(self, frame: Float[Tensor, "B H W"], raster: tuple[int, int]) -> Float[Tensor, "B 1 Gy Gx"]:
        """`emberformer.features.patch_means.burned_share`, of areas that may burn in part."""
        valid = torch.from_numpy(valid_share(*raster, self.pixels)).to(frame.device)
        return functional.avg_pool2d(frame[:, None], self.pixels) / valid


def make_rollout(
    model: SpreadNetwork,
    lead_times: int,
    landscape: Landscape,
    features: FeatureSettings,
    told: ForecastSettings,
    device: torch.device,
    calibration: Calibration,
) -> Rollout:
    """What forecasts with a network; the backbone is loaded only where frames are fed back to one that needs it.

    Args:
        model: the network.
        lead_times: that it was trained for, `ModelSettings.lead_times`.
        landscape: whose fires it forecasts.
        features: that made the landscape's tokens.
        told: how to forecast.
        device: where the backbone goes.
        calibration: of the network's checkpoint.

    Raises:
        InputError: the backbone cannot be had, or has other weights than made the landscape's tokens.
    """
    encoder, direct = None, lead_times if told.method == "direct" else 1
    if told.leads > direct and {"frame_patches", "frame_layers", "frame_hidden"} & set(model.inputs):
        backbone, told_there = load_backbone(features, device), landscape.identity["weights_sha256"]
        require_weights(told_there, backbone.weights_sha256, backbone.name, landscape.features_location)
        encoder = FrameEncoder(backbone, landscape.encoding, features.scale, features.layers, model.block)
    return Rollout(model, direct, landscape.pixels, encoder, told.feedback, told.members, told.seed, calibration)


def probability_of(
    model: SpreadNetwork, batch: dict[str, Tensor], calibration: Calibration = NOT_CALIBRATED
) -> Float[Tensor, "B H W"]:
    """Probability that a pixel is burned by the time that is forecast, on whole patches; what stays burned is at 1.

    The checkpoint holds the calibration of the network's logits; by default they are as the network was trained.
    """
    probability = torch.sigmoid(calibrated(model(**model_inputs(model, batch)).float(), calibration))
    return torch.where(batch["fire_pixels"][:, 0] * batch["stays"][:, None, None] >= 1, 1.0, probability)


def calibrated(logits: Float[Tensor, "*shape"], calibration: Calibration) -> Float[Tensor, "*shape"]:
    """What `Calibration.logits` says, of logits that may have a gradient."""
    low, high, offset = calibration
    return low * functional.logsigmoid(logits) - high * functional.logsigmoid(-logits) + offset


def told_ahead(batch: dict[str, Tensor], winds: Float[Tensor, "B L 2"], lead: int) -> dict[str, Tensor]:
    """Inputs for a forecast so many steps ahead, as `FireSteps` serves them."""
    newest = _wind_input(winds[:, :lead].nanmean(1))[:, None]
    ahead = {"lead": torch.full_like(batch["index"], lead), "wind": torch.cat([batch["wind"][:, :-1], newest], 1)}
    return {**batch, **ahead}


def _wind_input(wind: Float[Tensor, "B 2"]) -> Float[Tensor, "B 2"]:
    """Wind as `emberformer.data.normalise.wind_input` gives it."""
    return torch.nan_to_num(wind / WIND_SCALE)


def later(values: Tensor, newest: Tensor) -> Tensor:
    """Moments [B T ...] without the oldest, and with a newest one [B 1 ...], in a type that holds both."""
    kind = values.dtype if values.dtype.is_floating_point else torch.promote_types(values.dtype, newest.dtype)
    return torch.cat([values[:, 1:].to(kind), newest.to(kind)], 1)
