"""Name of a feature store: which features it holds, in a word and a hash."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from emberformer.errors import InputError
from emberformer.settings import FeatureSettings, digest, expand

STORE_SCHEMA = 3  # raise it when the code computes other features from the same settings (a golden test guards it)


def features_key(features: FeatureSettings) -> str:
    """Name of a feature store: the model's name and a hash of everything that decides its numbers.

    A local folder of weights, and a file of channels, enter by their content, so that copying them elsewhere changes
    nothing.

    Raises:
        InputError: there is no such file of channels.
    """
    identity = features.model_dump(mode="json")
    if features.channel_file is not None:
        identity["channel_file"] = _content(expand(features.channel_file))
    if features.weights == "random":
        name = f"{features.architecture}-random"
        del identity["weights"], identity["revision"]
    elif (folder := expand(Path(features.weights))).is_dir():
        name = folder.name
        files = sorted([*folder.glob("*.safetensors"), folder / "config.json"])
        identity["weights"] = [_content_digest(file, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        del identity["architecture"], identity["seed"], identity["revision"]
    else:
        name = features.weights.split("/")[-1]
        del identity["architecture"], identity["seed"]
    return f"{name}-{digest(STORE_SCHEMA, identity)}"


@cache
def _content_digest(file: Path, size: int, mtime_ns: int) -> str:
    """SHA-256 of a file, read once as long as its size and time stay: many networks name the same weights."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _content(path: Path) -> str:
    """SHA-256 of a file.

    Raises:
        InputError: there is none.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(
            f"features.channel_file: {path}", "no file", "a linear map of the terrain's channels",
            "make it with `emberformer features fit-channels`, which needs the fires stores and the split",
        ) from error  # fmt: skip
