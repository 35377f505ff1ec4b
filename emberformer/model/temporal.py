"""The temporal part: each patch looks back along its own history, in one of several ways.

State-space layers (S4, arXiv:2111.00396; Mamba, arXiv:2312.00752) are not among them: they are for histories of
hundreds of moments. A fire has tens, and `local` and `pooled` bound what looking back costs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from emberformer.model.attention import AttentionBlock, FeedForward
from emberformer.model.position import lag_encoding
from emberformer.model.recomputation import recomputed


class Temporal(nn.Module, ABC):
    """Tokens of a history to the newest moment's token of every patch.

    Args:
        d_model: length of a token.
    """

    def __init__(self, d_model: int):
        super().__init__()
        self.norm = nn.LayerNorm(d_model)

    @property
    def moments(self) -> int | None:
        """Newest moments that can matter: older ones need not even be fused. None: all of them."""
        return None

    def forward(self, tokens: Float[Tensor, "B N T D"], valid_t: Bool[Tensor, "B T"] | None) -> Float[Tensor, "B N D"]:
        """Newest token after looking back.

        Args:
            tokens: fused tokens, oldest first, padded on the left.
            valid_t: false where a moment is padding; the newest, `T - 1`, is always real. None: nothing is padding.
        """
        return self.norm(self.look_back(with_lag(tokens), valid_t))

    @abstractmethod
    def look_back(self, x: Float[Tensor, "B N T D"], valid_t: Bool[Tensor, "B T"] | None) -> Float[Tensor, "B N D"]:
        """Newest token before the last norm, from tokens that carry their lag's code."""

    def without_history(self, tokens: Float[Tensor, "B N D"]) -> Float[Tensor, "B N D"]:
        """Newest token of patches that do not look back: lag code and last norm, and nothing between them."""
        return self.norm(with_lag(tokens[:, :, None])[:, :, 0])


def with_lag(tokens: Float[Tensor, "B N T D"]) -> Float[Tensor, "B N T D"]:
    """Tokens with the code of how long ago they were."""
    return tokens + lag_encoding(tokens.shape[2], tokens.shape[3], tokens.device).to(tokens.dtype)


class TemporalTransformer(Temporal):
    """Blocks of attention along time.

    With a window a moment attends to itself and the `window - 1` before it (Beltagy et al. 2020, arXiv:2004.05150), so
    that K blocks see K (window - 1) + 1 moments, and memory does not grow with a history that is longer. Of every block
    only the moments are computed that the newest one depends on; without a window that is all, and one in the last.

    Args:
        d_model: length of a token.
        layers: number of blocks, K.
        heads: attention heads.
        feedforward: width of a block's hidden layer.
        dropout: share of activations dropped in training.
        window: moments that a moment attends to; None: all.
        checkpointing: keep only the blocks' inputs for the backward pass, and compute the rest again.
    """

    def __init__(
        self,
        d_model: int,
        layers: int,
        heads: int,
        feedforward: int,
        dropout: float,
        window: int | None = None,
        checkpointing: bool = False,
    ):
        super().__init__(d_model)
        self.blocks = nn.ModuleList(AttentionBlock(d_model, heads, feedforward, dropout) for _ in range(layers))
        self.window, self.checkpointing = window, checkpointing

    @property
    def moments(self) -> int | None:
        return None if self.window is None else len(self.blocks) * (self.window - 1) + 1

    def look_back(self, x: Float[Tensor, "B N T D"], valid_t: Bool[Tensor, "B T"] | None) -> Float[Tensor, "B N D"]:
        for number, block in enumerate(self.blocks):
            newest, seen = self._place(number, x, valid_t)
            x = recomputed(block, x, seen, newest) if self.checkpointing else block(x, seen, newest)
        return x[:, :, 0]

    def attention_by_lag(
        self, tokens: Float[Tensor, "B N T D"], valid_t: Bool[Tensor, "B T"] | None
    ) -> Float[Tensor, "K B N h T"]:
        """How the newest moment weighs every moment, in each block and head; sums to 1 over time, 0 on padding.

        Moments stand as in `tokens`: lag T - 1 first, lag 0 last. Arguments as in `forward`.
        """
        x, found = with_lag(tokens), []
        for number, block in enumerate(self.blocks):
            assert isinstance(block, AttentionBlock), "blocks are"
            newest, seen = self._place(number, x, valid_t)
            weights = block.weights(x, seen, newest)[:, :, :, -1]
            found.append(nn.functional.pad(weights, (tokens.shape[2] - weights.shape[-1], 0)))
            x = block(x, seen, newest)
        return torch.stack(found)

    def _place(
        self, number: int, x: Float[Tensor, "B N T D"], valid_t: Bool[Tensor, "B _"] | None
    ) -> tuple[int, Bool[Tensor, "b t T"] | None]:
        """Moments that a block computes, and what each of them attends to."""
        later, given = len(self.blocks) - 1 - number, x.shape[2]
        real = None if valid_t is None else valid_t[:, None, -given:]
        if self.window is None:
            return (given if later else 1), real
        newest = min(given, later * (self.window - 1) + 1)
        return newest, _in_window(newest, given, self.window, real, x.device)


def _in_window(
    newest: int, given: int, window: int, real: Bool[Tensor, "B 1 T"] | None, device: torch.device
) -> Bool[Tensor, "b t T"]:
    """Whether each of the newest moments attends to each given one; a padded moment attends to itself alone.

    >>> _in_window(2, 3, 2, None, torch.device("cpu")).int().tolist()
    [[[1, 1, 0], [0, 1, 1]]]
    """
    moment = torch.arange(given, device=device)
    ago = moment[-newest:, None] - moment
    near = (ago >= 0) & (ago < window)
    return near[None] if real is None else near & real | (ago == 0)


class PooledPast(Temporal):
    """A mean of the history by learned weights of the lag, and MLPs on it and the newest token.

    Weights are the softmax over the real moments of a linear map of the lag's code: equal at first, and defined for
    any length of history. Memory is linear in it.

    Args:
        d_model: length of a token.
        layers: number of MLPs after the mean.
        feedforward: width of their hidden layer.
        dropout: share of activations dropped in training.
    """

    def __init__(self, d_model: int, layers: int, feedforward: int, dropout: float):
        super().__init__(d_model)
        self.lag_score = nn.Linear(d_model, 1, bias=False)
        nn.init.zeros_(self.lag_score.weight)
        self.from_past = nn.Linear(d_model, d_model)
        self.layers = nn.Sequential(*(FeedForward(d_model, feedforward, dropout) for _ in range(layers)))

    def look_back(self, x: Float[Tensor, "B N T D"], valid_t: Bool[Tensor, "B T"] | None) -> Float[Tensor, "B N D"]:
        weights = self.attention_by_lag(x, valid_t)[0, :, 0].to(x.dtype)
        past = torch.einsum("bntd,bt->bnd", x, weights[:, 0])
        return self.layers(x[:, :, -1] + self.from_past(past))

    def attention_by_lag(
        self, tokens: Float[Tensor, "B N T D"], valid_t: Bool[Tensor, "B T"] | None
    ) -> Float[Tensor, "1 B 1 1 T"]:
        """Weight of every moment, the same for all patches; sums to 1, 0 on padding; as of `TemporalTransformer`."""
        batch, _, history, features = tokens.shape
        score = self.lag_score(lag_encoding(history, features, tokens.device))[:, 0].expand(batch, -1)
        if valid_t is not None:
            score = score.masked_fill(~valid_t, -torch.inf)
        return score.softmax(-1)[None, :, None, None]


class NewestMoment(Temporal):
    """No past: MLPs on the newest token.

    Args:
        d_model: length of a token.
        layers: number of MLPs.
        feedforward: width of their hidden layer.
        dropout: share of activations dropped in training.
    """

    def __init__(self, d_model: int, layers: int, feedforward: int, dropout: float):
        super().__init__(d_model)
        self.layers = nn.Sequential(*(FeedForward(d_model, feedforward, dropout) for _ in range(layers)))

    @property
    def moments(self) -> int | None:
        return 1

    def look_back(self, x: Float[Tensor, "B N T D"], valid_t: Bool[Tensor, "B T"] | None) -> Float[Tensor, "B N D"]:
        return self.layers(x[:, :, -1])
