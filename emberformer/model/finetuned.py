"""EmberFormer with the encoders that train in front of it, from cached hidden states or from images.

An encoder that was never tuned keeps its cached tokens. A tuned one encodes whole frames, and its tokens are stored as
the cache would store them, cut, mirrored and turned as the cache's are, so that before its first step a phase forecasts
what the phase before it forecasts.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from emberformer.errors import InputError
from emberformer.features.encoding import Encoding
from emberformer.features.rendering import dino_input
from emberformer.features.shape import Axis
from emberformer.model.tuned import Encoder, TunedBackbone
from emberformer.network import SpreadNetwork

AXIS: dict[Encoder, Axis] = {"fire": "frame", "terrain": "terrain"}
REMEMBERED = 64  # images whose tokens are kept while nothing trains


class FinetunedEmberFormer(SpreadNetwork):
    """The network of phases 2 and 3.

    Args:
        model: network on cached tokens.
        backbone: its tuned encoders.
        encodings: how tokens are stored, by patch grid; the entry None is for every grid.
        scale: of the rendering, `FeatureSettings.scale`.
        tail: frames are encoded from hidden states after the last block that is still frozen, else from images.
    """

    def __init__(
        self,
        model: SpreadNetwork,
        backbone: TunedBackbone,
        encodings: Mapping[tuple[int, int] | None, Encoding],
        scale: float,
        tail: bool,
    ):
        super().__init__()
        self.model, self.backbone, self.encodings, self.scale = model, backbone, dict(encodings), scale
        live = list(backbone.parts)
        cached = [name for name in model.inputs if name not in {f"{AXIS[encoder]}_patches" for encoder in live}]
        self.block = backbone.first_block("fire") if tail and "fire" in live else None
        self.source: dict[Encoder, str] = {encoder: f"{AXIS[encoder]}_images" for encoder in live}
        if self.block is not None:
            self.source["fire"] = "frame_hidden"
        self.inputs = (
            *cached, "patch_index", "whole_grid", *self.source.values(), *(f"{AXIS[encoder]}_row" for encoder in live)
        )  # fmt: skip
        self._remembered: dict[int, Tensor] = {}
        self.register_load_state_dict_post_hook(_forget)

    def parts(self) -> dict[str, list[nn.Module]]:
        return {**self.model.parts(), "backbone": [self.backbone]}

    def train(self, mode: bool = True) -> FinetunedEmberFormer:
        """Training or not; tokens of other weights are forgotten."""
        self._remembered.clear()
        super().train(mode)
        return self

    def forward(
        self, *, patch_index: Int[Tensor, "B Gy Gx"], whole_grid: Int[Tensor, "B 2"], **arrays: Tensor
    ) -> Float[Tensor, "B H W"]:
        """Logits of the next burned area.

        Args:
            patch_index: which patch of the whole grid each patch of the window is.
            whole_grid: patches of whole frames along y and x, the same for all items.
            arrays: images or hidden states and their numbers (`whole_frame_arrays`), and what `model` takes beside the
                tokens that are made here.
        """
        grid = (int(whole_grid[0, 0]), int(whole_grid[0, 1]))
        tokens = {
            f"{AXIS[encoder]}_patches": self._tokens(
                encoder, arrays[source], arrays[f"{AXIS[encoder]}_row"], patch_index, grid
            )
            for encoder, source in self.source.items()
        }
        return self.model(**{name: tokens[name] if name in tokens else arrays[name] for name in self.model.inputs})

    def _tokens(
        self,
        encoder: Encoder,
        values: Float[Tensor, "B K ..."],
        numbers: Int[Tensor, "B K"],
        patch_index: Int[Tensor, "B Gy Gx"],
        grid: tuple[int, int],
    ) -> Float[Tensor, "B K Gy Gx k"]:
        """Tokens of the windows of all images, zero where an image has no number; each image is encoded once."""
        wanted = numbers >= 0
        distinct, place = numbers[wanted].unique(return_inverse=True)
        one_of = place.new_zeros(len(distinct)).scatter(0, place, torch.arange(len(place), device=place.device))
        whole = self._whole(encoder, values[wanted][one_of], distinct, grid).flatten(1, 2)
        rows = place[:, None] * whole.shape[1] + patch_index.flatten(1)[wanted.nonzero()[:, 0]]
        window = whole.flatten(0, 1).index_select(0, rows.flatten())
        size = patch_index.shape[1:]
        result = window.new_zeros(*numbers.shape, *size, whole.shape[2])
        result[wanted] = window.view(-1, *size, whole.shape[2])
        return result

    def _whole(
        self, encoder: Encoder, values: Tensor, numbers: Int[Tensor, " n"], grid: tuple[int, int]
    ) -> Float[Tensor, "n Gy Gx k"]:
        """Tokens of whole images; while nothing trains, those of an image that came before are not computed again."""
        if self.training or torch.is_grad_enabled() or not len(numbers):
            return self._stored(encoder, values, grid)
        names = [2 * number + (encoder == "fire") for number in numbers.tolist()]
        missing = [n for n, name in enumerate(names) if name not in self._remembered]
        known = {name: self._remembered[name] for name in names if name in self._remembered}
        if missing:
            known |= zip((names[n] for n in missing), self._stored(encoder, values[missing], grid), strict=True)
        self._remembered = dict([*self._remembered.items(), *known.items()][-REMEMBERED:])
        return torch.stack([known[name] for name in names])

    def _stored(self, encoder: Encoder, values: Tensor, grid: tuple[int, int]) -> Float[Tensor, "n Gy Gx k"]:
        """Tokens as a reader of the store gets them; gradients pass as if nothing were rounded."""
        axis, first = AXIS[encoder], self.block
        if self.source[encoder] != "frame_hidden":
            values, first = dino_input(values, self.backbone.about.patch_size, self.scale), None
        return rounded_through(self.backbone.encode(encoder, values, grid, first), self._encoding(grid), axis)

    def _encoding(self, grid: tuple[int, int]) -> Encoding:
        found = self.encodings.get(grid, self.encodings.get(None))
        if found is None:
            there = ", ".join(f"{rows} x {columns}" for rows, columns in filter(None, self.encodings))
            raise InputError(
                "tokens of the fine-tuned backbone", f"frames of {grid[0]} x {grid[1]} patches", f"{there} patches",
                "with int8 or components, fine-tune on data of this size too",
            )  # fmt: skip
        return found


def rounded_through(patches: Float[Tensor, "n Gy Gx D"], encoding: Encoding, axis: Axis) -> Float[Tensor, "n Gy Gx k"]:
    """Tokens as a reader of the store gets them; gradients pass as if nothing were rounded."""
    stored = encoding.rounded(patches.detach(), axis)
    if patches.requires_grad:
        exact = encoding.project(patches, axis)
        stored = exact + (stored - exact).detach()
    return stored


def _forget(module: nn.Module, incompatible_keys: object) -> None:
    """Tokens of the weights before are of no use after others were loaded."""
    assert isinstance(module, FinetunedEmberFormer)
    module._remembered.clear()
