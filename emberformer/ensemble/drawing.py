"""Futures of one state: drawn in the window that fire can reach, and put back on the whole raster."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from emberformer.arrival_leads import NEVER, UNKNOWN, FutureSet, burn_probability
from emberformer.ensemble.arrival_field import leads_of
from emberformer.ensemble.generator import Generator
from emberformer.ensemble.sampling import Guidance, sample_fields
from emberformer.ensemble_settings import EnsembleSettings

ON_PATCHES = {"frame_patches": 2, "terrain_patches": 2, "patch_valid": 1}  # axis of the rows; the batch's is 0
ON_PIXELS = {"fire_pixels": 2, "terrain_pixels": 2, "categories": 2}
AT_ONCE = 2**20  # pixels of all members that pass the network together on a device that is no CPU


@dataclass(frozen=True)
class Futures:
    """What draws members.

    Args:
        generator: in evaluation mode.
        settings: how to draw.
        reach: pixels that fire goes at most.
    """

    generator: Generator
    settings: EnsembleSettings
    reach: int

    def __call__(
        self,
        batch: dict[str, Tensor],
        prior: Float[Tensor, "1 K H W"] | None,
        unknown: Bool[Tensor, "1 H W"],
        seed: int,
    ) -> FutureSet:
        """Members of one state, and its burn probability.

        Args:
            batch: one item of `Generator.inputs` on its whole frame.
            prior: forecast of the deterministic network, where the generator starts from one.
            unknown: pixels that were not observed, or are not on the raster.
            seed: of the members.
        """
        of, network = self.settings, self.generator.network
        burned = batch["fire_pixels"][:, 0] > 0.5
        rows, columns = self.window(burned[0] & ~unknown[0] & of.mask_channel)  # else it would tell where the fire is
        pixels = network.side * network.finer
        y, x = (slice(part.start * pixels, part.stop * pixels) for part in (rows, columns))
        told = cut(batch, rows, columns, pixels)
        members = np.full((of.members, *burned.shape[1:]), NEVER, np.uint8)
        with torch.inference_mode():
            conditioning = self.generator.conditioning(told, None if prior is None else prior[:, :, y, x])
            drawn = sample_fields(
                network,
                conditioning,
                burned[:, None, y, x] & of.mask_channel,  # what is held tells where the fire is
                unknown[:, None, y, x],
                members=of.members,
                steps=of.steps,
                seeds=[seed],
                shift=of.time_shift,
                shared=of.shared_noise,
                solver=of.solver,
                guidance=Guidance(of.context_scale, of.dino_scale, of.guidance),
                at_once=self._at_once(burned.device, (y, x)),
            )
        burns, hidden = burned[0].cpu().numpy(), unknown[0].cpu().numpy()
        members[:, y, x] = leads_of(drawn.fields[0], of.leads).cpu().numpy()
        members[:, burns] = 0
        members[:, hidden] = UNKNOWN
        probability = burn_probability(members, of.leads)
        if drawn.burned_by is not None:
            probability[:, y, x] = drawn.burned_by[0].float().cpu().numpy()
            probability[:, burns] = 1
            probability[:, hidden] = np.nan
        return FutureSet(members, probability)

    def window(self, burned: Bool[Tensor, "H W"]) -> tuple[slice, slice]:
        """Rows and columns of patches that fire can reach, with one patch more; all of them where nothing burns."""
        pixels = self.generator.network.side * self.generator.network.finer
        found = []
        for axis in (1, 0):
            places, whole = burned.any(axis).nonzero()[:, 0], burned.shape[1 - axis] // pixels
            if len(places) == 0:
                found.append(slice(0, whole))
                continue
            low, high = int(places[0]) - self.reach, int(places[-1]) + self.reach
            found.append(slice(max(0, low // pixels - 1), min(whole, high // pixels + 2)))
        return found[0], found[1]

    @staticmethod
    def _at_once(device: torch.device, window: tuple[slice, slice]) -> int:
        """One member on a CPU, whose caches hold no more; many on a GPU."""
        if device.type == "cpu":
            return 1
        return max(1, AT_ONCE // ((window[0].stop - window[0].start) * (window[1].stop - window[1].start)))


def member_seed(seed: int, fire_id: str, init_time: np.datetime64) -> int:
    """Seed of the members of one forecast, which follows from nothing else.

    >>> noon = np.datetime64("2026-01-31T12:00")
    >>> member_seed(0, "a", noon) == member_seed(0, "a", noon) != member_seed(0, "b", noon)
    True
    """
    words = f"{fire_id} {init_time.astype('datetime64[s]')}".encode()
    return int(np.random.SeedSequence([seed, *words]).generate_state(1, np.uint32)[0])


def cut(batch: dict[str, Tensor], rows: slice, columns: slice, pixels: int) -> dict[str, Tensor]:
    """A window of patches of a batch of whole frames, and its place.

    Args:
        batch: arrays of `Generator.inputs`.
        rows: of patches.
        columns: of patches.
        pixels: on a side of a patch.
    """
    told = dict(batch)
    for arrays, size in ((ON_PATCHES, 1), (ON_PIXELS, pixels)):
        for name in arrays.keys() & batch.keys():
            axis = arrays[name]
            part = batch[name].narrow(axis, rows.start * size, (rows.stop - rows.start) * size)
            told[name] = part.narrow(axis + 1, columns.start * size, (columns.stop - columns.start) * size)
    corner = batch["fire_pixels"].new_tensor([[rows.start, columns.start]], dtype=torch.float32)
    return {**told, "origin": corner}
