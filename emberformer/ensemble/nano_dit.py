"""NanoDiT: a diffusion transformer over pixel patches of one field, conditioned on cached features and on context.

After DiT (Peebles and Xie 2023, arXiv:2212.09748). Every block looks at itself, then by one
cross-attention at the sequence [context, text, CLS, patches], whose parts are all projected to the same length. The CLS
token also modulates every block, together with the time; as a token it is without the time, so that keys and values are
the same at every time.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from emberformer.ensemble.arrival_field import level_values
from emberformer.ensemble.block import DiTBlock, silent
from emberformer.ensemble.conditioning import BOTH, Conditioning, without_context, without_dino
from emberformer.ensemble.prepared import Prepared
from emberformer.ensemble.refinement import FieldRefinement
from emberformer.model.position import place_encoding, sinusoids

Inject = Literal["cross", "add", "both"]
Predicts = Literal["levels", "field", "velocity"]
RAREST = 1e-6  # probability below which a deterministic forecast tells no more
TIME_SCALE = 1000.0  # of a time in [0, 1]: unscaled, the sinusoids of 0 and 1 would be all but equal
CLOSEST = 0.05  # to time 1, up to which a velocity follows from the forecast of the field (arXiv:2511.13720)


class Denoised(NamedTuple):
    """What a network makes of a field at a time.

    Args:
        velocity: towards the field that is to be expected.
        middle: tokens after the middle block.
        scores: of each value of the field, before their softmax; None where the network gives none.
    """

    velocity: Float[Tensor, "B 1 H W"]
    middle: Float[Tensor, "B N D"]
    scores: Float[Tensor, "B V H W"] | None


class NanoDiT(nn.Module):
    """Velocity of a field at a time between noise (0) and data (1).

    Args:
        pixel_channels: channels of `Conditioning.pixels`.
        context_features: length of a context token.
        cls_features: length of a CLS token.
        patch_features: length of a patch's features; None: the patches are not used, only the CLS token.
        text_features: length of a text's embeddings; None: no text.
        side: pixels on a side of a token of the field; it divides a side of a patch of the features.
        patch_pixels: pixels on a side of a patch of the features.
        d_model: length of a token.
        depth: blocks.
        heads: attention heads.
        adaln: 9 with gates, 6 without.
        inject: how patches reach the field's tokens: through cross-attention, added at their own place, or both.
        patch_bias: added to the scores of the patches in every cross-attention, and learned from there; None: there is
            none. Far below 0, a network that is warm-started without patches begins as it was.
        predicts: how likely each value of the field is, the field itself (Li and He 2025, arXiv:2511.13720), or the
            velocity; see `denoised`.
        leads: of the field.
        refinement_channels: channels of the convolutions at full resolution.
        aligned_features: length of the features to which the middle block is aligned; None: it is not.
    """

    def __init__(
        self,
        *,
        pixel_channels: int,
        context_features: int,
        cls_features: int,
        patch_features: int | None,
        side: int,
        patch_pixels: int,
        text_features: int | None = None,
        d_model: int = 128,
        depth: int = 4,
        heads: int = 4,
        adaln: Literal[6, 9] = 9,
        inject: Inject = "both",
        patch_bias: float | None = None,
        predicts: Predicts = "field",
        leads: int = 1,
        refinement_channels: int = 16,
        aligned_features: int | None = None,
    ):
        super().__init__()
        if patch_pixels % side:
            raise ValueError(f"a token of {side} pixels does not divide a patch of {patch_pixels}")
        self.side, self.finer, self.d_model = side, patch_pixels // side, d_model
        self.inject, self.predicts, self.leads = inject, predicts, leads
        told, values = (3, leads + 1) if predicts == "levels" else (1, 1)
        self.embed = nn.Conv2d(told, d_model, side, stride=side, bias=False)
        self.embed_pixels = nn.Conv2d(pixel_channels, d_model, side, stride=side)
        self.time = nn.Sequential(nn.Linear(d_model, d_model), nn.SiLU(), nn.Linear(d_model, d_model))
        self.context_proj = nn.Linear(context_features, d_model)
        self.null_context = nn.Parameter(torch.zeros(context_features))
        self.dino_proj = nn.Linear(cls_features, d_model)
        self.null_dino = nn.Parameter(torch.zeros(cls_features))
        self.text_proj = nn.Linear(text_features, d_model) if text_features else None
        self.null_text = nn.Parameter(torch.zeros(text_features)) if text_features else None
        self.dino_patch_proj, self.null_dino_patches, self.injection, self.patch_bias = None, None, None, None
        if patch_features:
            self.dino_patch_proj = nn.Linear(patch_features, d_model)
            self.null_dino_patches = nn.Parameter(torch.zeros(patch_features))
            if inject != "cross":
                self.injection = silent(nn.Linear(d_model, d_model))
            if patch_bias is not None and inject != "add":
                self.patch_bias = nn.Parameter(torch.tensor(patch_bias))
        self.blocks = nn.ModuleList(DiTBlock(d_model, heads, 4 * d_model, adaln) for _ in range(depth))
        self.norm = nn.LayerNorm(d_model)
        self.refinement = FieldRefinement(d_model, side, pixel_channels, refinement_channels, told, values)
        self.alignment = nn.Linear(d_model, aligned_features) if aligned_features else None

    def forward(
        self,
        x_t: Float[Tensor, "B 1 H W"],
        t: Float[Tensor, " B"],
        conditioning: Conditioning,
        drop: Int[Tensor, " B"] | None = None,
    ) -> Float[Tensor, "B 1 H W"]:
        """Velocity; `drop` are classes of `emberformer.ensemble.conditioning`, None: nothing is left out."""
        return self.velocity(x_t, t, self.prepare(conditioning, drop))[0]

    def prepare(self, of: Conditioning, drop: Int[Tensor, " B"] | None = None) -> Prepared:
        """All that does not change from time to time."""
        drop = torch.full((len(of),), BOTH, device=of.cls.device) if drop is None else drop
        no_dino, no_context = without_dino(drop), without_context(drop)
        signal = self.dino_proj(torch.where(no_dino[:, None], self.null_dino, of.cls))
        parts = {"context": self._told(of.context, of.context_mask, self.null_context, no_context, self.context_proj)}
        if self.text_proj is not None and self.null_text is not None:
            if of.text is None or of.text_mask is None:
                raise ValueError("the network was made for a text: give `Conditioning.text` and its mask")
            parts["text"] = self._told(of.text, of.text_mask, self.null_text, no_context, self.text_proj)
        parts["cls"] = (signal[:, None], signal.new_zeros(len(of), 1))
        tokens = self.embed_pixels(of.pixels)
        grid = (tokens.shape[2], tokens.shape[3])
        tokens = tokens.flatten(2).transpose(1, 2) + self._places(of, grid, 1 / self.finer)
        if self.dino_patch_proj is not None:
            known, bias = self._patches(of, no_dino)
            if self.injection is not None:
                real = torch.isfinite(bias)[..., None]  # a patch without a real pixel says nothing at its place either
                tokens = tokens + self._at_tokens(self.injection(known) * real, of.grid)
            if self.inject != "add":
                parts["patches"] = (known, bias)
        sequence, bias = (torch.cat([part[n] for part in parts.values()], 1) for n in (0, 1))
        conditions = tuple(block.key_values(sequence, bias) for block in self._dit_blocks)
        lengths = {name: part[0].shape[1] for name, part in parts.items()}
        return Prepared(signal, tokens, conditions, self.refinement.known(of.pixels), of.mean, of.shares, lengths)

    def velocity(
        self, x_t: Float[Tensor, "B 1 H W"], t: Float[Tensor, " B"], prepared: Prepared
    ) -> tuple[Float[Tensor, "B 1 H W"], Float[Tensor, "B N D"]]:
        """Velocity, and the tokens after the middle block."""
        found = self.denoised(x_t, t, prepared)
        return found.velocity, found.middle

    def denoised(self, x_t: Float[Tensor, "B 1 H W"], t: Float[Tensor, " B"], prepared: Prepared) -> Denoised:
        """Velocity towards the field that is to be expected, and what it follows from.

        With `levels`, each value v of the field has the score

            log share(v) - (x_t - t v)^2 / (2 (1 - t)^2) + correction(v)

        of the deterministic forecast, of the noise that was added, and of the network, and the expected field is the
        mean of the values by the softmax of their scores (Dieleman et al. 2022, arXiv:2211.15089). Without the
        network's part that is exact where pixels burn independently of each other: what it learns is how they burn
        together, and how far the forecast as a whole may be off.
        """
        told, scores = self._evidence(x_t, t, prepared) if self.predicts == "levels" else (x_t, None)
        signal, x = self._begin(told, t, prepared)
        middle = x
        for number, (block, conditions) in enumerate(zip(self.blocks, prepared.conditions, strict=True), 1):
            x = block(x, signal, conditions)
            if number == (len(self.blocks) + 1) // 2:
                middle = x
        found = self.refinement(self.norm(x), told, prepared.ground, signal)
        if self.predicts == "velocity":
            return Denoised(found, middle, None)
        if scores is not None:
            scores = scores + found.float()
            values = level_values(self.leads, scores)[None, :, None, None]
            field = (scores.softmax(1) * values).sum(1, keepdim=True)
        else:
            field = found if prepared.mean is None else found + prepared.mean
        return Denoised((field - x_t) / (1 - t).clamp(min=CLOSEST)[:, None, None, None], middle, scores)

    def _evidence(
        self, x_t: Float[Tensor, "B 1 H W"], t: Float[Tensor, " B"], prepared: Prepared
    ) -> tuple[Float[Tensor, "B 3 H W"], Float[Tensor, "B V H W"]]:
        """What the field tells, and the score of each value where pixels are independent.

        Beside the field itself: the field weighed with how uncertain the forecast is, of whose sum over an area a fast
        or slow fire is to be seen in the noise, and by how much the field changes what is expected of the pixel.
        """
        values = level_values(self.leads, x_t)[None, :, None, None]
        time = t[:, None, None, None]
        shares = prepared.shares
        if shares is None:
            shares = x_t.new_full((1, self.leads + 1, 1, 1), 1 / (self.leads + 1))
        mean = (shares * values).sum(1, keepdim=True)
        variance = (shares * (values - mean) ** 2).sum(1, keepdim=True)
        noise = (1 - time).clamp(min=CLOSEST)
        scores = shares.clamp(min=RAREST).log() - (x_t - time * values) ** 2 / (2 * noise**2)
        expected = (scores.softmax(1) * values).sum(1, keepdim=True)
        return torch.cat([x_t, variance * x_t, expected - mean], 1), scores

    def attention_shares(
        self, x_t: Float[Tensor, "B 1 H W"], t: Float[Tensor, " B"], prepared: Prepared
    ) -> dict[str, Float[Tensor, "B N"]]:
        """Share of each token's cross-attention that goes to context, text, CLS and patches, mean over the blocks."""
        told = self._evidence(x_t, t, prepared)[0] if self.predicts == "levels" else x_t
        signal, x = self._begin(told, t, prepared)
        shares = []
        for block, conditions in zip(self._dit_blocks, prepared.conditions, strict=True):
            shares.append(block.shares(x, signal, conditions))
            x = block(x, signal, conditions)
        parts = torch.stack(shares).mean(0).split(list(prepared.lengths.values()), -1)
        return {name: part.sum(-1) for name, part in zip(prepared.lengths, parts, strict=True)}

    @property
    def _dit_blocks(self) -> list[DiTBlock]:
        return cast(list[DiTBlock], list(self.blocks))

    def _begin(self, x_t: Tensor, t: Tensor, prepared: Prepared) -> tuple[Tensor, Tensor]:
        signal = prepared.signal + self.time(sinusoids(t * TIME_SCALE, self.d_model))
        return signal, self.embed(x_t).flatten(2).transpose(1, 2) + prepared.tokens

    @staticmethod
    def _told(
        tokens: Float[Tensor, "B S C"],
        real: Bool[Tensor, "B S"],
        null: Float[Tensor, " C"],
        left_out: Bool[Tensor, " B"],
        projection: nn.Linear,
    ) -> tuple[Float[Tensor, "B S D"], Float[Tensor, "B S"]]:
        """Projected tokens and the bias of their scores; what is left out is one null token, however long it was."""
        first = torch.arange(tokens.shape[1], device=tokens.device) == 0
        seen = torch.where(left_out[:, None], first, real)
        known = torch.where(left_out[:, None, None], null, tokens)
        return projection(known), torch.zeros_like(seen, dtype=known.dtype).masked_fill(~seen, -torch.inf)

    def _patches(self, of: Conditioning, left_out: Bool[Tensor, " B"]) -> tuple[Tensor, Tensor]:
        """Tokens of the patches with their places, and the bias of their scores."""
        assert self.dino_patch_proj is not None, "called where there are patches"
        assert self.null_dino_patches is not None, "likewise"
        if of.patches is None or of.patch_mask is None:
            raise ValueError("the network was made for patches: give `Conditioning.patches` and their mask")
        known = torch.where(left_out[:, None, None], self.null_dino_patches, of.patches)
        bias = torch.zeros_like(of.patch_mask, dtype=known.dtype).masked_fill(~of.patch_mask, -torch.inf)
        if self.patch_bias is not None:
            bias = bias + self.patch_bias
        return self.dino_patch_proj(known) + self._places(of, of.grid, 1.0), bias

    def _places(self, of: Conditioning, grid: tuple[int, int], cell: float) -> Float[Tensor, "#B N D"]:
        """Codes of the centres of a grid's cells of so many patches, the same for features and field."""
        origin = of.cls.new_zeros(1, 2) if of.origin is None else of.origin
        return place_encoding(origin, grid, cell, self.d_model)

    def _at_tokens(self, tokens: Float[Tensor, "B N D"], grid: tuple[int, int]) -> Float[Tensor, "B n D"]:
        """Each patch's token at the finer tokens of the field that lie on it."""
        spread = tokens.unflatten(1, grid).repeat_interleave(self.finer, 1).repeat_interleave(self.finer, 2)
        return spread.flatten(1, 2)
