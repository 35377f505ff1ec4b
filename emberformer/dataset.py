"""Windows over the stores: what the model sees of one fire at one step, and how steps become batches."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import xarray as xr
from torch import Tensor
from torch.utils.data import Dataset

from emberformer.arrival_leads import UNKNOWN as LEAD_UNKNOWN
from emberformer.data.normalise import TerrainNormaliser, wind_input
from emberformer.features.reading import Cut
from emberformer.future_arrays import future_arrays
from emberformer.landscape import UNKNOWN, Landscape
from emberformer.model_settings import ModelSettings
from emberformer.patch_arrays import patch_arrays
from emberformer.sampling import evenly_spaced
from emberformer.token_batches import Sample, TokenBatches
from emberformer.whole_frames import whole_frame_arrays
from emberformer.windows import choose_window, padded, perimeter, pixel_slices, turn

ALWAYS = frozenset(("target", "fire_pixels", "stays"))  # a loss needs them, whatever the network takes

CONDITION_FRAMES = 8


def hidden_inputs(model: ModelSettings) -> set[str]:
    """Arrays that the settings keep from the network, wherever it would take them, of rasters the terrain alone."""
    terrain = {"terrain_patches", "terrain_means", "terrain_pixels", "categories"}
    return (set() if model.wind else {"wind", "coming_wind"}) | (terrain if model.terrain == "none" else set())


def terrain_rasters(normaliser: TerrainNormaliser) -> dict[str, int]:
    """How many rasters of an array are of the terrain; those behind them are of the newest frame's conditions."""
    return {"terrain_pixels": len(normaliser.channels), "categories": len(normaliser.codes)}


@dataclass(frozen=True)
class Step:
    """One forecast to make: from frame `step` of a fire to the one `lead` frames later."""

    landscape: int
    fire: int
    step: int
    lead: int = 1


def list_steps(
    landscapes: Sequence[Landscape],
    split: dict[str, dict[str, str]],
    name: str,
    per_fire: int | None = None,
    lead_times: int = 1,
    frames_ahead: int = 1,
) -> list[Step]:
    """Steps of all fires of a split that have a next frame, or so many; with `per_fire`, that many evenly spaced ones.

    Up to `lead_times` their leads take turns, 1, 2 ... 1, 2 ..., as far as the fire has frames; each fire begins with
    the lead after that of the fire before it, so that no lead falls on the same part of all fires.
    """
    steps, fires = [], 0
    for number, landscape in enumerate(landscapes):
        for fire, fire_id in enumerate(map(str, landscape.fires.fire_id.values)):
            if split[landscape.name].get(fire_id) != name:
                continue
            count = int(landscape.row_size[fire]) - frames_ahead
            if count < 1:
                continue
            chosen = evenly_spaced(count, per_fire or count)
            steps += [
                Step(number, fire, int(step), 1 + turn % min(lead_times, count - int(step)))
                for turn, step in enumerate(chosen, fires)
            ]
            fires += 1
    return steps


class FireSteps(Dataset):
    """Model inputs and targets of steps, a batch at a time.

    Args:
        landscapes: opened stores.
        steps: what to serve; every index is another (fire, step).
        history: newest frames that the model sees, T.
        crop: side of a random crop in patches around the fire; None: whole windows.
        flip: mirror and turn at random.
        seed: with `epoch` and the index the only source of chance, so that a batch is the same whoever makes it.
        buffers: batches of features whose memory is used in turn; 0: fresh memory for every batch.
        pinned: page-locked memory, for a GPU.
        inputs: arrays that the network takes (`SpreadNetwork.inputs`).
        hidden: arrays that are served as zeros: what the network is not to know (`hidden_inputs`).
        category_dropout: share of items whose categories of the terrain are served as unknown.
        rate_noise: standard deviation of the logarithm of a factor on the seconds of a step, another for every item
            that has a past.
        block: with `frame_hidden` among the inputs, the block of the backbone whose tokens it holds.
        lead_times: above 1 each item's lead is drawn, up to this and as far as its fire has frames; `Step.lead` then
            says nothing.
        at_front: crops lie around the newest perimeter, and not around what is to burn, so that their place tells
            nothing of it.
        leads: coming frames that `arrival_lead`, `prior`, `coming_wind` and `patches_to_come` are of, K.

    A batch holds `target [B H W]` uint8 with 255 = unknown (also in the newest frame, where burned ground stays
    burned), padding or after the fire's last frame, `index [B]`,
    `fire_pixels [B 2 H W]`, `stays [B]` (1 where burned ground stays burned, 0 where fires go out), and of these what
    is among the inputs: `frame_patches [B T Gy Gx D]`, `terrain_patches [B C Gy Gx D]` (as stored; zero
    on padding and for a band that a landscape lacks), `frame_layers [B L Gy Gx D]` (hidden layers of the newest frame),
    `frame_hidden [B T S D]` (all tokens of whole frames after a block), `wind [B T 2]` (from each frame to the next,
    from the newest one until the target, `Landscape.wind_ahead`), `valid_t [B T]`, `lead [B]` (frames to the target),
    `terrain_pixels [B K H W]` and `categories [B Q H W]` (of the terrain, and of the newest frame's conditions),
    `history_pixels [B T H W]` uint8 (1 burned, 0 not, unknown or padding), `resolution [B 2]` (metres of a pixel,
    seconds of a step), `patches_to_come [B 1 Gy Gx D]` (of the last of the coming frames), and of `whole_frame_arrays`,
    `patch_arrays` and `future_arrays`. H and W are whole patches; the raster lies at
    the upper left.
    """

    def __init__(
        self,
        landscapes: Sequence[Landscape],
        steps: Sequence[Step],
        history: int,
        crop: int | None = None,
        flip: bool = False,
        seed: int = 0,
        buffers: int = 0,
        pinned: bool = False,
        *,
        inputs: Sequence[str],
        hidden: Collection[str] = (),
        category_dropout: float = 0.0,
        rate_noise: float = 0.0,
        block: int | None = None,
        lead_times: int = 1,
        leads: int = 1,
        at_front: bool = False,
    ):
        self.category_dropout, self.rate_noise = category_dropout, rate_noise
        self.inputs, self.hidden = frozenset(inputs), frozenset(hidden)
        self.landscapes, self.steps, self.history = list(landscapes), list(steps), history
        self.crop, self.flip, self.seed, self.epoch = crop, flip, seed, 0
        self.block, self.lead_times, self.leads, self.at_front = block, lead_times, leads, at_front
        self._of_terrain = terrain_rasters(self.landscapes[0].normaliser)  # all landscapes have one
        self._tokens = TokenBatches(self.inputs, history, buffers, pinned, block)
        if "frame_layers" in self.inputs:  # a store without them is refused before the first batch
            self._layers = [landscape.layer_reader for landscape in self.landscapes]
        if block is not None:
            self._hidden = [landscape.hidden_reader(block) for landscape in self.landscapes]

    def __len__(self) -> int:
        return len(self.steps)

    def size(self, index: int) -> tuple[int, int]:
        """Patch grid of an item."""
        grid = self.landscapes[self.steps[index].landscape].grid
        return tuple(min(side, self.crop or side) for side in grid)  # type: ignore[return-value]

    def shape(self, index: int) -> tuple[int, ...]:
        """What items of one batch must agree in: their patch grid, and the whole frames' where these are served."""
        whole = self.landscapes[self.steps[index].landscape].grid if "patch_index" in self.inputs else ()
        return (*self.size(index), *whole)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """One item, without the batch's axis."""
        return {key: value[0] for key, value in self.__getitems__([index]).items()}

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        """A whole batch."""
        samples = [self._sample(index) for index in indices]
        batch = {key: torch.from_numpy(np.stack([s.arrays[key] for s in samples])) for key in samples[0].arrays}
        batch |= self._tokens.read(samples, self.size(indices[0]))
        for name in self.hidden & set(batch):
            batch[name][:, : self._of_terrain.get(name)] = 0
        return batch

    def announce(self, indices: list[int]) -> None:
        """Have the system read what items need that are served soon."""
        for index in indices:
            step = self.steps[index]
            landscape, rows = self.landscapes[step.landscape], self._rows(step)
            if "frame_patches" in self.inputs:
                landscape.frame_reader.announce(landscape.frame_of[rows.start : rows.stop].tolist())
            if "frame_layers" in self.inputs:
                landscape.layer_reader.announce([int(landscape.frame_of[rows[-1]])])
            if self.block is not None:
                landscape.hidden_reader(self.block).announce(landscape.frame_of[rows.start : rows.stop].tolist())
            if "terrain_patches" in self.inputs:
                landscape.terrain_reader.announce([int(landscape.terrain_row[step.fire])])

    def _rows(self, step: Step) -> range:
        """Observations that an item shows, the newest last."""
        row = int(self.landscapes[step.landscape].row_start[step.fire]) + step.step
        return range(row - min(step.step + 1, self.history) + 1, row + 1)

    def _sample(self, index: int) -> Sample:
        step = self.steps[index]
        landscape, pixels = self.landscapes[step.landscape], self.landscapes[step.landscape].pixels
        rng = np.random.default_rng((self.seed, self.epoch, index))
        observed = self._rows(step)
        row, seen, lead = observed[-1], len(observed), self._lead(step, rng)
        burned = landscape.burned(step.fire, observed)
        seen_later = step.step + lead < landscape.row_size[step.fire]
        target = landscape.target(step.fire, row + lead) if seen_later else np.full_like(burned[0], UNKNOWN)
        if landscape.stays_burned:  # what was not seen may have burned before, and is not counted either
            target = np.where(burned[-1] == UNKNOWN, np.uint8(UNKNOWN), target)
        growth = perimeter(burned[-1]) if self.at_front else _growth(landscape, burned[-1], target)
        rows, columns = choose_window(burned[-1], growth, self.size(index), landscape.grid, pixels, rng)
        arrays = self._arrays(step, lead, burned, target, rows, columns)
        forgotten = self.category_dropout > 0 and rng.random() < self.category_dropout
        if forgotten:
            arrays["categories"] = arrays["categories"].copy()  # it may be a part of what the landscape remembers
            arrays["categories"][: self._of_terrain["categories"]] = 0
        arrays["resolution"] = self._told_resolution(landscape, seen, rng)
        view = 0
        if self.flip:
            square = arrays["target"].shape[0] == arrays["target"].shape[1]
            view = int(rng.integers(8 if square else 4))  # swapped axes would not fit the batch
            arrays = turn(arrays, view, landscape.vectors)
        arrays = {name: values for name, values in arrays.items() if name in self.inputs | ALWAYS}
        arrays["index"] = np.array(index)
        frames = Cut(tuple(landscape.frame_of[observed.start : observed.stop].tolist()), rows, columns, view)
        terrain = Cut((int(landscape.terrain_row[step.fire]),), rows, columns, view)
        arrays |= whole_frame_arrays(self.inputs, landscape, step.fire, burned, self.history, frames)
        arrays |= patch_arrays(self.inputs, landscape, self.history, frames, terrain, forgotten)
        if "text" in self.inputs and landscape.texts is not None:
            arrays |= landscape.texts.of(step.fire)
        to_come = replace(frames, rows=(int(landscape.frame_of[self._row_to_come(step, row)]),))
        return Sample(arrays, landscape, step.fire, frames, terrain, to_come)

    def _arrays(
        self, step: Step, lead: int, burned: np.ndarray, target: np.ndarray, rows: slice, columns: slice
    ) -> dict[str, np.ndarray]:
        """What the raster and the weather say of a step within a window of patches, before any chance."""
        landscape, observed = self.landscapes[step.landscape], self._rows(step)
        row, seen, pixels = observed[-1], len(observed), landscape.pixels
        y, x = pixel_slices(rows, pixels), pixel_slices(columns, pixels)
        shape = ((rows.stop - rows.start) * pixels, (columns.stop - columns.start) * pixels)
        terrain_pixels, categories = landscape.rasters(step.fire, row)
        lit = burned[:, y, x] == 1
        wind = landscape.wind[observed.start : observed.stop].copy()
        wind[-1] = landscape.wind_ahead(step.fire, row, lead)
        arrays = {
            "wind": np.pad(wind_input(wind), ((self.history - seen, 0), (0, 0))),
            "lead": np.array(lead),
            "valid_t": np.arange(self.history) >= self.history - seen,
            "fire_pixels": padded(np.stack([lit[-1], lit.mean(0)]).astype(np.float32), shape, 0),
            "stays": np.array(landscape.stays_burned, np.float32),
            "terrain_pixels": padded(terrain_pixels[:, y, x], shape, 0),
            "categories": padded(categories[:, y, x], shape, 0),
            "target": padded(target[y, x], shape, UNKNOWN),
        }
        future = future_arrays(self.inputs, landscape, step.fire, row, self.leads)
        for name, beyond in (("arrival_lead", LEAD_UNKNOWN), ("prior", 0)):
            if name in future:
                future[name] = padded(future[name][..., y, x], shape, beyond)
        arrays |= future
        if "history_pixels" in self.inputs:
            before = ((self.history - seen, 0), (0, 0), (0, 0))
            arrays["history_pixels"] = np.pad(padded(lit.astype(np.uint8), shape, 0), before)
        return arrays

    def _row_to_come(self, step: Step, row: int) -> int:
        """Row of the last of the coming frames; where the fire has fewer, its last one."""
        return min(row + self.leads, row + int(self.landscapes[step.landscape].row_size[step.fire]) - 1 - step.step)

    def _lead(self, step: Step, rng: np.random.Generator) -> int:
        """Frames from the newest one to the target; drawn only where there is a choice, so that it moves no chance."""
        if self.lead_times == 1:
            return step.lead
        left = int(self.landscapes[step.landscape].row_size[step.fire]) - 1 - step.step
        return 1 + int(rng.integers(min(self.lead_times, max(left, 1))))

    def _told_resolution(self, landscape: Landscape, seen: int, rng: np.random.Generator) -> np.ndarray:
        """Metres of a pixel and seconds of a step, as the network is told them."""
        if not self.rate_noise or seen == 1:  # without a past to take the rate from, nothing but the time tells it
            return landscape.resolution
        return landscape.resolution * np.array([1, np.exp(self.rate_noise * rng.standard_normal())], np.float32)


def _growth(landscape: Landscape, burned: np.ndarray, target: np.ndarray) -> np.ndarray:
    return (target == 1) & (burned == 0) if landscape.stays_burned else target == 1


def whole_frames_at_once(device: torch.device) -> int:
    """Whole frames that pass the network together: 8 on a GPU, 1 on a CPU.

    Tensors larger than the allocator keeps for reuse are given back to the system and cleared anew in every layer: four
    frames of 400 x 400 at once took three times as long a frame as one.
    """
    return 1 if device.type == "cpu" else 8


def training_terrain(fires: xr.Dataset, split: dict[str, str]) -> list[int]:
    """Terrain windows of the training fires, on which the normaliser is fitted."""
    chosen = [split.get(str(fire_id)) == "train" for fire_id in fires.fire_id.values]
    return sorted(set(fires.terrain_index.values[chosen].tolist()))


def training_conditions(fires: xr.Dataset, split: dict[str, str]) -> list[int]:
    """Frames of the training fires, up to `CONDITION_FRAMES` evenly spaced ones of each, on whose conditions the
    normaliser is fitted.
    """
    rows = zip(map(str, fires.fire_id.values), fires.row_start.values, fires.row_size.values, strict=True)
    return [
        int(start) + int(step)
        for fire_id, start, size in rows
        if split.get(fire_id) == "train"
        for step in evenly_spaced(int(size), min(CONDITION_FRAMES, int(size)))
    ]
