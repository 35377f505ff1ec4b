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
        InputError: there is no such file of channels, or the folder holds no weights.
    """
    identity = features.model_dump(mode="json")
    if features.channel_file is not None:
        file = expand(features.channel_file)
        if not file.is_file():
            raise InputError(
                f"features.channel_file: {file}", "no file", "a linear map of the terrain's channels",
                "make it with `emberformer features fit-channels`, which needs the fires stores and the split",
            )  # fmt: skip
        identity["channel_file"] = content_digest(file)
    if features.weights == "random":
        name = f"{features.architecture}-random"
        del identity["weights"], identity["revision"]
    elif (folder := expand(Path(features.weights))).is_dir():
        name = folder.name
        identity["weights"] = weights_content("features.weights", folder)
        del identity["architecture"], identity["seed"], identity["revision"]
    else:
        name = features.weights.split("/")[-1]
        del identity["architecture"], identity["seed"]
    return f"{name}-{digest(STORE_SCHEMA, identity)}"


def weights_content(key: str, folder: Path) -> list[str]:
    """SHA-256 of the files of a folder of weights that decide a network.

    Raises:
        InputError: `key` of the configuration names a folder that `save_pretrained` did not write.
    """
    weights = [*folder.glob("*.safetensors")] or [*folder.glob("*.bin")]  # as transformers chooses
    config = folder / "config.json"
    if not weights or not config.is_file():
        found = ", ".join(sorted(path.name for path in folder.iterdir())[:5]) or "nothing"
        expected = "config.json and weights (*.safetensors or *.bin)"
        raise InputError(f"{key}: {folder}", found, expected, "name a folder written by `save_pretrained`")
    return [content_digest(file) for file in sorted([*weights, config])]


def content_digest(file: Path) -> str:
    """SHA-256 of a file, read once as long as its size and time stay: many networks name the same weights."""
    return _content_digest(file, file.stat().st_size, file.stat().st_mtime_ns)


def content_or_place(path: Path) -> str:
    """What goes into the name of what is made from a file or a store: its content; its path as long as it is not there.

    Nothing is made before it is there, so that the path stands in no name that is kept.
    """
    place = expand(path)
    if place.is_dir():
        files = [file for file in sorted(place.rglob("*")) if file.is_file()]
        return digest([(str(file.relative_to(place)), content_digest(file)) for file in files])
    return content_digest(place) if place.is_file() else str(path)


@cache
def _content_digest(file: Path, size: int, mtime_ns: int) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
