"""States of fires of the world with a hidden cause: what a generator is told of each, and what came after."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from benchmarks.hidden_cause import Ground, burn, draw_cause, draw_ground, draw_wind, futures, ignite
from emberformer.arrival_leads import observed_lead
from emberformer.data.normalise import WIND_SCALE
from emberformer.features.backbone import Backbone, load_backbone
from emberformer.features.rendering import dino_input, pixels_per_patch, render_terrain
from emberformer.settings import FeatureSettings

HISTORY = 3  # frames that are told
NEWEST = (1, 2, 3)  # frames from which is forecast
NEAR, ANYWHERE = 4, 16  # reaches of ignitions: fires keep off the edge for long, or are to be found
CELL_M, STEP_S = 30.0, 1800.0
SCALE = 2.0  # of the features: a patch is 7 cells
TEST_TRUTHS = 16  # what may come after each test state, so that scores hang less on one draw of it


@dataclass(frozen=True)
class States:
    """States of fires, and what may be known of each.

    Args:
        fire: number of the fire on whose ground each state burns.
        ground: of every fire.
        frames: burned areas up to the newest, which comes last; 255 before the fire.
        wind: told of every step from a frame to the next, in m/s towards east and north, NaN before the fire; from the
            newest frame on it is of what is to come.
        truth: what came after, see `emberformer.arrival_leads`; test states have several.
    """

    fire: Int[np.ndarray, " n"]
    ground: Ground
    frames: UInt8[np.ndarray, "n frame y x"]
    wind: Float[np.ndarray, "n step 2"]
    truth: UInt8[np.ndarray, "n draw y x"]

    def __len__(self) -> int:
        return len(self.fire)

    @property
    def burned(self) -> Bool[np.ndarray, "n y x"]:
        """The newest frame."""
        return self.frames[:, -1] == 1

    @property
    def coming_wind(self) -> Float[np.ndarray, "n lead 2"]:
        """Told for the coming steps, in m/s."""
        return self.wind[:, HISTORY - 1 :]

    @property
    def ground_of_each(self) -> Ground:
        """Of every state."""
        return Ground(self.ground.fuel[self.fire], self.ground.elevation[self.fire])


def draw_states(fires: int, leads: int, seed: int, reach: int = NEAR) -> States:
    """All states of so many fires.

    Args:
        fires: number of them.
        leads: coming steps, K.
        seed: of all chance.
        reach: rows and columns from the middle within which fires begin.
    """
    rng = np.random.default_rng(seed)
    steps = max(NEWEST) + leads
    ground, wind = draw_ground(fires, rng), draw_wind(fires, steps, rng)
    burned = [ignite(fires, rng, reach)]
    for step in range(steps):
        burned.append(burn(burned[-1], ground, wind[:, step], draw_cause(fires, rng), rng))
    all_frames = np.stack(burned, 1).astype(np.uint8)
    padding = HISTORY - 1
    frames = np.pad(all_frames, ((0, 0), (padding, 0), (0, 0), (0, 0)), constant_values=255)
    winds = np.pad(wind, ((0, 0), (padding, 0), (0, 0)), constant_values=np.nan)
    at = [frames[:, last : last + HISTORY] for last in NEWEST]
    after = [winds[:, last : last + padding + leads] for last in NEWEST]
    truths = [[observed_lead(all_frames[fire, last : last + leads + 1]) for fire in range(fires)] for last in NEWEST]
    return States(
        np.tile(np.arange(fires), len(NEWEST)),
        ground,
        np.concatenate(at),
        np.concatenate(after),
        np.concatenate([np.stack(of) for of in truths])[:, None],
    )


def draw_test_states(number: int, leads: int, seed: int, reach: int = NEAR) -> States:
    """One state of each of so many fires, with several truths; the frames from which is forecast take turns."""
    states = draw_states(number, leads, seed, reach)
    chosen = np.arange(number) + number * (np.arange(number) % len(NEWEST))
    of = States(states.fire[chosen], states.ground, states.frames[chosen], states.wind[chosen], states.truth[chosen])
    truth = futures(of.burned, of.ground_of_each, of.coming_wind, TEST_TRUTHS, np.random.default_rng([seed, 1]))
    return States(of.fire, of.ground, of.frames, of.wind, truth)


@dataclass(frozen=True)
class ToldStates:
    """States as a generator is told them, features of an untrained DINOv2 among it.

    Args:
        arrays: what `emberformer.ensemble.generator.Generator` takes, but for the terrain's features.
        terrain_patches: of every fire.
        fire: of each state.
        arrival_lead: the first truth of each state.
    """

    arrays: dict[str, Tensor]
    terrain_patches: Float[Tensor, "f C Gy Gx D"]
    fire: Int[Tensor, " n"]
    arrival_lead: UInt8[Tensor, "n y x"]

    def __len__(self) -> int:
        return len(self.fire)

    def to(self, device: torch.device) -> ToldStates:
        """The same on a device."""
        arrays = {name: values.to(device) for name, values in self.arrays.items()}
        rest = (self.terrain_patches, self.fire, self.arrival_lead)
        return ToldStates(arrays, *(values.to(device) for values in rest))

    def batch(self, index: Int[Tensor, " b"]) -> dict[str, Tensor]:
        """Arrays of some states."""
        found = {name: values[index] for name, values in self.arrays.items()}
        return {**found, "terrain_patches": self.terrain_patches[self.fire[index]]}

    def with_wind(self, coming_wind: Float[Tensor, "n K 2"]) -> ToldStates:
        """The same, told another wind for the coming steps."""
        return replace(self, arrays={**self.arrays, "coming_wind": coming_wind})

    def with_features_of(self, other: Int[Tensor, " n"]) -> ToldStates:
        """The same with the cached features, of frames and ground, of other states."""
        swapped = {name: self.arrays[name][other] for name in ("frame_patches", "frame_cls")}
        return replace(
            self,
            arrays={**self.arrays, **swapped},
            terrain_patches=self.terrain_patches[self.fire[other]],
            fire=torch.arange(len(self), device=self.fire.device),
        )


def told_states(states: States) -> ToldStates:
    """What a generator is told of states."""
    backbone = load_backbone(FeatureSettings(weights="random", architecture="dinov2-tiny", precision="float32"))
    terrain = np.stack([states.ground.fuel, states.ground.elevation], 1).astype(np.float32)
    images = np.stack([render_terrain(one, ["continuous"] * 2) for one in terrain])
    of_terrain, _ = encode(backbone, torch.from_numpy(images).flatten(0, 1))
    burned = torch.from_numpy(states.burned).float()
    frame_patches, frame_cls = encode(backbone, burned)
    wind = torch.from_numpy(states.wind).float()
    known = torch.from_numpy(states.frames != 255)
    share = (torch.from_numpy(states.frames) == 1).float().sum(1) / known.float().sum(1)
    grid = frame_patches.shape[1:3]
    arrays = {
        "frame_patches": frame_patches[:, None],
        "frame_cls": frame_cls,
        "patch_valid": torch.ones(len(states), *grid, dtype=torch.bool),
        "wind": torch.nan_to_num(wind[:, :HISTORY] / WIND_SCALE),
        "coming_wind": wind[:, HISTORY - 1 :],
        "valid_t": known[:, :, 0, 0],
        "fire_pixels": torch.stack([burned, share], 1),
        "terrain_pixels": torch.from_numpy(terrain)[torch.from_numpy(states.fire)],
        "categories": torch.zeros(len(states), 0, *burned.shape[1:], dtype=torch.long),
        "resolution": torch.tensor([CELL_M, STEP_S]).expand(len(states), 2),
    }
    return ToldStates(
        arrays, of_terrain.unflatten(0, (-1, 2)), torch.from_numpy(states.fire), torch.from_numpy(states.truth[:, 0])
    )


def encode(
    backbone: Backbone, images: Float[Tensor, "n y x"], at_once: int = 64
) -> tuple[Float[Tensor, "n Gy Gx D"], Float[Tensor, "n D"]]:
    """Tokens of patches and CLS tokens of grey images."""
    with torch.inference_mode():
        tokens = [backbone.encode(dino_input(part, backbone.patch_size, SCALE)) for part in images.split(at_once)]
    return torch.cat([of.patches for of in tokens]).clone(), torch.cat([of.cls for of in tokens]).clone()


def patch_pixels() -> int:
    """Cells on a side of a patch."""
    return pixels_per_patch(14, SCALE)
