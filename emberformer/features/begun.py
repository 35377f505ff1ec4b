"""A begun store: what all jobs of one store agree on, fixed by the first of them."""

from __future__ import annotations

import fcntl
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import xarray as xr

from emberformer.atomic import replacing_file
from emberformer.data.fires import bands_of
from emberformer.errors import InputError
from emberformer.feature_key import STORE_SCHEMA
from emberformer.features.backbone import Backbone, load_backbone
from emberformer.features.block import write_error
from emberformer.features.channel_map import ChannelMap, channel_map
from emberformer.features.encoding import Encoding, fit_encoding, load_encoding, save_encoding
from emberformer.features.families import family_of
from emberformer.features.patch_means import mean_channels
from emberformer.features.plan import plan_folder
from emberformer.features.rendering import patch_grid, pixels_per_patch, terrain_channels
from emberformer.features.sealed import read_sealed, write_sealed
from emberformer.features.shape import AXES, FILL, StoreShape
from emberformer.settings import FeatureSettings

IDENTITY, ENCODING = "identity.json", "encoding.npz"
WORDS = "rendering"  # for readers alone: all that it tells follows from the store's name and the other attributes
EXPECTED = "what the first extraction job wrote"
REMEDY = "run `snakemake extract_features`; where the file is damaged, copy it again or delete the store first"


@dataclass(frozen=True)
class BegunStore:
    """Everything that turns images into records of a store.

    Args:
        backbone: on its device.
        encoding: how tokens are stored.
        shape: of the store's arrays.
        channels: how terrain becomes images.
        scale: `FeatureSettings.scale`.
        window: `FeatureSettings.window`.
    """

    backbone: Backbone
    encoding: Encoding
    shape: StoreShape
    channels: ChannelMap
    scale: float
    window: int | None

    @property
    def fill(self) -> dict[str, float | int]:
        """What a record without a source holds, by array."""
        return {array.name: FILL[array.kind] for axis in AXES for array in self.shape.arrays(axis)}


def begin_store(
    store: Path, fires: xr.Dataset, settings: FeatureSettings, device: torch.device, compile: bool
) -> BegunStore:
    """Load the backbone and agree with the store's other jobs on what is written.

    Raises:
        InputError: a backbone that cannot be had, a store that was begun otherwise, or a folder that is not writable.
    """
    backbone = load_backbone(settings, device, compile)
    identity = store_identity(settings, backbone, fires)
    shape = StoreShape.of(identity)
    folder = plan_folder(store)
    try:
        with open(folder / "begun.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # the first job fits the encoding, the others wait for it
            if not (folder / IDENTITY).exists():
                encoding = fit_encoding(backbone, shape.grid, settings.scale, settings.dtype, settings.components)
                _write_identity(folder, identity, encoding)
    except OSError as error:
        raise write_error(folder, error) from error
    told = read_identity(store)
    keys = (identity.keys() | told.keys()) - {WORDS}
    if different := sorted(key for key in keys if identity.get(key) != told.get(key)):
        raise InputError(
            store, f"a store that was begun with another {', '.join(different)}", "jobs that agree",
            "delete the store, or use the weights and the data it was begun with",
        )  # fmt: skip
    return BegunStore(backbone, read_encoding(store), shape, ChannelMap.of(identity), settings.scale, settings.window)


def _write_identity(folder: Path, identity: dict[str, Any], encoding: Encoding) -> None:
    with replacing_file(folder / ENCODING) as partial:
        save_encoding(encoding, partial)
    content = {"identity": identity, "encoding_sha256": _sha256(folder / ENCODING)}
    write_sealed(folder / IDENTITY, content)  # last: who reads it finds the encoding too


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def store_identity(settings: FeatureSettings, backbone: Backbone, fires: xr.Dataset) -> dict[str, Any]:
    """What the store says of itself; the same for all jobs of a store."""
    pixels = pixels_per_patch(backbone.patch_size, settings.scale)
    height, width = (settings.window or fires.sizes[side] for side in ("y", "x"))
    channels = terrain_channels(*bands_of(fires))
    trained_as = family_of(backbone.model).normalisation
    return {
        "model": backbone.name,
        "weights": settings.weights,
        "weights_sha256": backbone.weights_sha256,
        "weights_licence": backbone.licence,
        WORDS: f"{settings.channel_map}, {trained_as} normalisation; emberformer.features.rendering",
        "store_schema": STORE_SCHEMA,
        "scale": settings.scale,
        "window": settings.window,
        "precision": settings.precision,
        "runtime": settings.runtime,
        "dtype": settings.dtype,
        "components": settings.components,
        "layers": list(settings.layers),
        "patch_size": backbone.patch_size,
        "prefix_tokens": backbone.prefix_tokens,
        "pixels_per_patch": pixels,
        "grid": list(patch_grid(height, width, pixels)),
        "features": backbone.features,
        **channel_map(settings, channels).identity,
        "channels": mean_channels(channels),
    }


def read_identity(store: Path) -> dict[str, Any]:
    """What the first job of a store fixed.

    Raises:
        InputError: no job has begun, or the file is damaged.
    """
    return _begun(store)["identity"]


def read_encoding(store: Path) -> Encoding:
    """How the tokens of a store are encoded, as its first job fixed it.

    Raises:
        InputError: no job has begun, or a file is missing or damaged.
    """
    path, begun = plan_folder(store) / ENCODING, _begun(store)
    if not path.exists() or _sha256(path) != begun["encoding_sha256"]:
        raise InputError(path, "not what was written (SHA-256)" if path.exists() else "no file", EXPECTED, REMEDY)
    return load_encoding(path, begun["identity"]["dtype"])


def _begun(store: Path) -> dict[str, Any]:
    return read_sealed(plan_folder(store) / IDENTITY, EXPECTED, REMEDY)
