"""Fusion: fire, terrain and wind of one patch and one moment become one token."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from emberformer.model.position import grid_encoding


@dataclass(frozen=True)
class Ground:
    """What a fusion knows of the patches that does not change in time, computed once a sample.

    Args:
        own: each patch's own part; None: there is none.
        keys: of all patches of every sample, to attend to; None: a patch needs its own part alone.
        values: likewise.
        sample: the sample that a row of the batch is of, rising, where patches were picked from samples; None: a row is
            a sample.
    """

    own: Float[Tensor, "S N M"] | None
    keys: Float[Tensor, "B h K d"] | None = None
    values: Float[Tensor, "B h K d"] | None = None
    sample: Int[Tensor, " S"] | None = None

    def rows(self, rows: Int[Tensor, " R"]) -> Ground:
        """Of some rows of the batch, which rise."""
        own = None if self.own is None else self.own[rows]
        if self.keys is None or self.values is None:
            return Ground(own)
        if self.sample is not None:
            return Ground(own, self.keys, self.values, self.sample[rows])
        return Ground(own, self.keys[rows], self.values[rows])

    def pick(self, samples: Int[Tensor, " S"], patches: Int[Tensor, " S"]) -> Ground:
        """Of single patches, each a row of its own; where keys are shared, rows of a sample still share them."""
        own = None if self.own is None else self.own[samples, patches][:, None]
        return Ground(own, self.keys, self.values, None if self.keys is None else samples)


class Fusion(nn.Module, ABC):
    """Fire, terrain and wind to tokens, with what terrain gives kept apart from what changes in time."""

    @abstractmethod
    def ground(self, terrain: Float[Tensor, "B Gy Gx D"] | None, grid: tuple[int, int]) -> Ground:
        """What does not change in time.

        Args:
            terrain: features of the patches; None: the network has no terrain.
            grid: rows and columns of patches.
        """

    @abstractmethod
    def forward(
        self, fire: Float[Tensor, "S N T D"], ground: Ground, wind: Float[Tensor, "S T 2"]
    ) -> Float[Tensor, "S N T M"]:
        """Tokens of N patches at T moments.

        Args:
            fire: the patches' features, in any floating type.
            ground: of these patches.
            wind: (u, v), one for all patches of a row.
        """


class SummedFusion(Fusion):
    """A fusion in which the patch's own terrain is a term of a sum."""

    from_fire: nn.Linear
    from_terrain: nn.Linear | None

    def ground(self, terrain: Float[Tensor, "B Gy Gx D"] | None, grid: tuple[int, int]) -> Ground:
        """The terrain's term."""
        if self.from_terrain is None or terrain is None:
            return Ground(None)
        return Ground(self.from_terrain(terrain).flatten(1, 2))

    def _fire_and_ground(self, fire: Float[Tensor, "S N T D"], ground: Ground) -> Float[Tensor, "S N T M"]:
        token = project_stored(self.from_fire, fire)
        return token if ground.own is None else token + ground.own[:, :, None]


class ConcatFusion(SummedFusion):
    """GELU(LN(W [fire; terrain; wind] + b)), with wind = GELU(LN(W_w (u, v))).

    The product with the concatenation is written as a sum of three products: terrain then enters once a sample and not
    once a frame, which gives the same numbers for less work.

    Args:
        features: length D of the fire's tokens.
        terrain_features: length of the terrain's tokens; None: there are none.
        d_model: length of the fused token.
        d_wind: length of the wind's code.
    """

    def __init__(self, features: int, terrain_features: int | None, d_model: int, d_wind: int):
        super().__init__()
        self.wind = nn.Sequential(nn.Linear(2, d_wind), nn.LayerNorm(d_wind), nn.GELU())
        self.from_fire = nn.Linear(features, d_model)
        self.from_terrain = _linear(terrain_features, d_model, bias=False)
        self.from_wind = nn.Linear(d_wind, d_model, bias=False)
        self.norm = nn.LayerNorm(d_model)

    def forward(
        self, fire: Float[Tensor, "S N T D"], ground: Ground, wind: Float[Tensor, "S T 2"]
    ) -> Float[Tensor, "S N T M"]:
        token = self._fire_and_ground(fire, ground)
        token = token + self.from_wind(self.wind(wind))[:, None]
        return functional.gelu(self.norm(token))


class AddNormFusion(SummedFusion):
    """LN(W_f fire + W_s terrain + W_w (u, v) + b).

    Args:
        features: length D of the fire's tokens.
        terrain_features: length of the terrain's tokens; None: there are none.
        d_model: length of the fused token.
    """

    def __init__(self, features: int, terrain_features: int | None, d_model: int):
        super().__init__()
        self.from_fire = nn.Linear(features, d_model)
        self.from_terrain = _linear(terrain_features, d_model, bias=False)
        self.from_wind = nn.Linear(2, d_model, bias=False)
        self.norm = nn.LayerNorm(d_model)

    def forward(
        self, fire: Float[Tensor, "S N T D"], ground: Ground, wind: Float[Tensor, "S T 2"]
    ) -> Float[Tensor, "S N T M"]:
        return self.norm(self._fire_and_ground(fire, ground) + self.from_wind(wind)[:, None])


class CrossAttentionFusion(Fusion):
    """LN(f + attention(f, terrain) + LN(W_w (u, v))), with f = W_f fire.

    A patch attends to the terrain of its whole frame. The terrain's keys and values are computed once a sample and
    serve every moment. Queries and keys carry the code of their patch's place, without which a patch could not find
    its own terrain (Carion et al. 2020, arXiv:2005.12872).

    Args:
        features: length D of the fire's tokens.
        terrain_features: length of the terrain's tokens; None: there are none, and nothing is attended to.
        d_model: length of the fused token.
        heads: attention heads.
    """

    def __init__(self, features: int, terrain_features: int | None, d_model: int, heads: int):
        super().__init__()
        self.heads = heads
        self.from_fire = nn.Linear(features, d_model)
        self.from_terrain = _linear(terrain_features, d_model)
        if self.from_terrain is not None:
            self.query, self.key, self.value, self.out = (nn.Linear(d_model, d_model) for _ in range(4))
        self.wind = nn.Sequential(nn.Linear(2, d_model), nn.LayerNorm(d_model))
        self.norm = nn.LayerNorm(d_model)

    def ground(self, terrain: Float[Tensor, "B Gy Gx D"] | None, grid: tuple[int, int]) -> Ground:
        """Each patch's place, and keys and values of the terrain."""
        if self.from_terrain is None or terrain is None:
            return Ground(None)
        tokens = self.from_terrain(terrain).flatten(1, 2)
        place = grid_encoding(*grid, tokens.shape[-1], tokens.device).flatten(0, 1).to(tokens.dtype)
        keys, values = self._split(self.key(tokens + place)), self._split(self.value(tokens))
        return Ground(place.expand(len(tokens), -1, -1), keys, values)

    def forward(
        self, fire: Float[Tensor, "S N T D"], ground: Ground, wind: Float[Tensor, "S T 2"]
    ) -> Float[Tensor, "S N T M"]:
        token = project_stored(self.from_fire, fire)
        wind_token = self.wind(wind)[:, None]
        if ground.keys is None or ground.values is None or ground.own is None:
            return self.norm(token + wind_token)
        query = self.query(token + ground.own[:, :, None]).flatten(1, 2)
        attended = self._attend(query, ground.keys, ground.values, ground.sample)
        return self.norm(token + self.out(attended).view_as(token) + wind_token)

    def _attend(
        self,
        query: Float[Tensor, "S q M"],
        keys: Float[Tensor, "B h K d"],
        values: Float[Tensor, "B h K d"],
        sample: Int[Tensor, " S"] | None,
    ) -> Float[Tensor, "S q M"]:
        """What queries find; those of one sample stand side by side, so that its keys are not repeated for them."""
        if sample is None:
            found = functional.scaled_dot_product_attention(self._split(query), keys, values)
            return found.transpose(1, 2).flatten(2)
        count = torch.bincount(sample, minlength=len(keys))
        place = torch.arange(len(sample), device=sample.device) - (count.cumsum(0) - count)[sample]
        most = max(1, int(count.max()))
        table = query.new_zeros(len(keys), most, *query.shape[1:]).index_put((sample, place), query)
        found = functional.scaled_dot_product_attention(self._split(table.flatten(1, 2)), keys, values)
        return found.transpose(1, 2).flatten(2).unflatten(1, (most, -1))[sample, place]

    def _split(self, x: Float[Tensor, "B n M"]) -> Float[Tensor, "B h n d"]:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def project_stored(layer: nn.Linear, fire: Float[Tensor, "S N T D"]) -> Float[Tensor, "S N T M"]:
    """The layer's output of tokens in the type and order that they are stored in."""
    return layer(fire.to(layer.weight.dtype).contiguous())


def _linear(features: int | None, d_model: int, bias: bool = True) -> nn.Linear | None:
    return None if features is None else nn.Linear(features, d_model, bias=bias)
