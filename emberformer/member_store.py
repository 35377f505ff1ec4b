"""Member store: the single futures of an ensemble; one Zarr store a method and data set, beside its forecast store.

    arrival_lead (forecast, member, y, x)  uint8, all members of a forecast a chunk, sharded, checksummed; the coding is
                                           that of `emberformer.arrival_leads`
    burn_probability (forecast, lead, y, x) float32, where it is more than the share of the members; NaN unknown
    coordinates                            those of a forecast store, without `member`, which has no order
    attributes                             method, dataset, sees_target_wind, provenance

The burn probability stands in a forecast store too, so that it is scored as any forecast is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.codecs import ZstdCodec

from emberformer.arrival_leads import MOST_LEADS, NEVER, UNKNOWN
from emberformer.atomic import replacing
from emberformer.errors import InputError
from emberformer.forecast_store import NEEDED, SHARD_BYTES, SHARD_FORECASTS, ForecastBlock, coordinates

DIMENSIONS, OF_LEADS = ("forecast", "member", "y", "x"), ("forecast", "lead", "y", "x")
PROBABILITY = "burn_probability"
ATTRIBUTES = ("method", "dataset")


@dataclass(frozen=True)
class MemberBlock:
    """All members of the forecast from one initial frame of one fire.

    Args:
        fire_id, split, init_step, init_time, valid_time: as in `ForecastBlock`.
        arrival_lead: first lead by which each pixel is burned, uint8 [member, y, x]; see `emberformer.arrival_leads`.
        burn_probability: by each lead, float32 [lead, y, x], NaN where it is unknown; None: the share of the members.
    """

    fire_id: str
    split: str
    init_step: int
    init_time: np.datetime64
    valid_time: np.ndarray
    arrival_lead: np.ndarray
    burn_probability: np.ndarray | None = None


def write_members(
    path: Path,
    blocks: Iterable[MemberBlock],
    *,
    method: str,
    dataset: str,
    leads: int,
    shape: tuple[int, int, int],
    provenance: Mapping[str, object],
    sees_target_wind: bool,
    tells_probability: bool = False,
) -> None:
    """Write a member store, whole or not at all; memory holds one shard at a time.

    Args:
        path: the store; replaced if it exists.
        blocks: the forecasts in order; may be a generator, and may be empty.
        method: name of the ensemble.
        dataset: name of the data set.
        leads: number of leads K.
        shape: length of (member, y, x).
        provenance: what the members were made from: versions, settings, seeds, hashes; any JSON content.
        sees_target_wind: whether the method was given the wind of the step that it forecasts.
        tells_probability: whether the blocks have a burn probability of their own.

    Raises:
        ValueError: a block of another shape, or a value that is no lead.
    """
    if not 1 <= leads <= MOST_LEADS:
        raise ValueError(f"{leads} leads, expected 1 to {MOST_LEADS}")
    with replacing(Path(path)) as folder:
        group = zarr.create_group(folder, zarr_format=3)
        shard = int(np.clip(SHARD_BYTES // max(int(np.prod(shape)), 1), 1, SHARD_FORECASTS))
        flags = {"flag_values": [0, UNKNOWN, NEVER], "flag_meanings": "burned_at_init_time unknown never"}
        told = {"long_name": "first lead by which the pixel is burned", **flags}
        arrays = {"arrival_lead": _array(group, "arrival_lead", DIMENSIONS, shape, shard, UNKNOWN, told)}
        if tells_probability:
            of_leads, told = (leads, *shape[1:]), {"long_name": "burned by valid_time", "units": "1"}
            arrays[PROBABILITY] = _array(group, PROBABILITY, OF_LEADS, of_leads, shard, np.nan, told)
        written: list[ForecastBlock] = []
        remaining = _checked(blocks, shape, leads)
        while chunk := list(islice(remaining, shard)):
            start = len(written)
            for name, array in arrays.items():
                array.resize((start + len(chunk), *array.shape[1:]))
                array[start:] = np.stack([getattr(block, name) for block in chunk])
            written += [_without_members(block) for block in chunk]
        attributes = {
            "method": method,
            "dataset": dataset,
            "sees_target_wind": bool(sees_target_wind),
            "provenance": dict(provenance),
        }
        table = coordinates(written, (leads, *shape[1:])).assign_attrs(attributes)
        table.to_zarr(folder, mode="a", zarr_format=3, consolidated=True)


def _array(
    group: zarr.Group,
    name: str,
    dimensions: tuple[str, ...],
    shape: tuple[int, ...],
    shard: int,
    fill: float,
    told: Mapping[str, Any],
) -> zarr.Array:
    """An array of forecasts, without one yet; of float32 where gaps are NaN, else of uint8."""
    return group.create_array(
        name,
        shape=(0, *shape),
        dtype="float32" if np.isnan(fill) else "uint8",
        chunks=(1, *shape),
        shards=(shard, *shape),
        compressors=ZstdCodec(level=3, checksum=True),
        fill_value=fill,
        dimension_names=dimensions,
        attributes=dict(told),
    )


def open_members(path: Path) -> xr.Dataset:
    """Open a member store; members are read when they are asked for.

    Returns:
        Data set with `arrival_lead` (forecast, member, y, x), the coordinates of a forecast store, and in stores that
        have it `burn_probability` (forecast, lead, y, x).

    Raises:
        InputError: the store is missing, or is no member store.
    """
    remedy = "sample the ensemble for this data set again"
    if not (Path(path) / "zarr.json").is_file():
        raise InputError(path, "no store", "a member store (Zarr v3)", remedy)
    seconds = xr.coders.CFDatetimeCoder(time_unit="s")
    # UNKNOWN is a code and no gap: with `mask_and_scale` the fill value would turn into NaN
    members = xr.open_dataset(path, engine="zarr", consolidated=False, decode_times=seconds, mask_and_scale=False)
    needed = {"arrival_lead": DIMENSIONS, **NEEDED}
    lacking = [name for name, of in needed.items() if name not in members.variables or members[name].dims != of]
    lacking += [f"attribute {name}" for name in ATTRIBUTES if name not in members.attrs]
    if lacking:
        expected = f"arrival_lead {DIMENSIONS}, {', '.join(NEEDED)}, and the attributes {', '.join(ATTRIBUTES)}"
        raise InputError(path, f"no {', '.join(lacking)}", expected, remedy)
    return members


def _checked(blocks: Iterable[MemberBlock], shape: tuple[int, int, int], leads: int) -> Iterator[MemberBlock]:
    for block in blocks:
        name = f"members of {block.fire_id} from step {block.init_step}"
        found = block.arrival_lead
        if found.shape != shape or found.dtype != np.uint8 or len(block.valid_time) != leads:
            raise ValueError(
                f"{name}: {found.dtype} {found.shape}, valid times {len(block.valid_time)}, expected uint8 {shape} and "
                f"{leads}"
            )
        if block.burn_probability is not None and block.burn_probability.shape != (leads, *shape[1:]):
            raise ValueError(f"{name}: burn_probability {block.burn_probability.shape}, expected {leads}, {shape[1:]}")
        codes = np.unique(found)
        if wrong := codes[(codes > leads) & (codes < UNKNOWN)].tolist():
            raise ValueError(f"{name}: leads {wrong}, expected 0 to {leads}, {UNKNOWN} or {NEVER}")
        yield block


def _without_members(block: MemberBlock) -> ForecastBlock:
    """The block's coordinates alone, so that thousands of them weigh nothing."""
    return ForecastBlock(block.fire_id, block.split, block.init_step, block.init_time, block.valid_time, np.empty(0))
