"""Tiles of Next Day Wildfire Spread by hand: messages by Google's own protobuf, records by TensorBoard's own writer."""

from __future__ import annotations

import gzip
import io
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from numpy.typing import ArrayLike
from tensorboard.summary.writer.record_writer import RecordWriter

from emberformer.data.ndws.inputs import CONDITIONS, FIRE, PREVIOUS_FIRE, TERRAIN

DECLARATION = """
name: "example_PACKED.proto" package: "tf" syntax: "proto3"
message_type { name: "Bytes" field { name: "value" number: 1 MANY type: TYPE_BYTES } }
message_type { name: "Floats" field { name: "value" number: 1 MANY type: TYPE_FLOAT options { packed: PACKED } } }
message_type { name: "Integers" field { name: "value" number: 1 MANY type: TYPE_INT64 options { packed: PACKED } } }
message_type {
  name: "Feature" oneof_decl { name: "kind" }
  field { name: "bytes_list" number: 1 ONE type: TYPE_MESSAGE type_name: ".tf.Bytes" oneof_index: 0 }
  field { name: "float_list" number: 2 ONE type: TYPE_MESSAGE type_name: ".tf.Floats" oneof_index: 0 }
  field { name: "int64_list" number: 3 ONE type: TYPE_MESSAGE type_name: ".tf.Integers" oneof_index: 0 }
}
message_type {
  name: "Features"
  field { name: "feature" number: 1 MANY type: TYPE_MESSAGE type_name: ".tf.Features.FeatureEntry" }
  nested_type {
    name: "FeatureEntry" options { map_entry: true }
    field { name: "key" number: 1 ONE type: TYPE_STRING }
    field { name: "value" number: 2 ONE type: TYPE_MESSAGE type_name: ".tf.Feature" }
  }
}
message_type { name: "Example" field { name: "features" number: 1 ONE type: TYPE_MESSAGE type_name: ".tf.Features" } }
"""


def example_class(packed: bool) -> Any:
    """tf.train.Example as Google's protobuf knows it once it is declared; lists of numbers packed or not."""
    words = {"PACKED": str(packed).lower(), "ONE": "label: LABEL_OPTIONAL", "MANY": "label: LABEL_REPEATED"}
    text = re.sub("|".join(words), lambda found: words[found[0]], DECLARATION)
    declared = text_format.Parse(text, descriptor_pb2.FileDescriptorProto())
    pool = descriptor_pool.DescriptorPool()
    pool.Add(declared)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tf.Example"))


EXAMPLES = {packed: example_class(packed) for packed in (True, False)}


def encode(features: Mapping[str, Any], packed: bool = True) -> bytes:
    """Message with lists of bytes, int64 and float32, told apart by what they hold."""
    example = EXAMPLES[packed]()
    for name, values in features.items():
        feature = example.features.feature[name]
        if isinstance(values, list) and all(isinstance(value, bytes) for value in values):
            feature.bytes_list.value.extend(values)
        elif np.asarray(values).dtype.kind == "i":
            feature.int64_list.value.extend(np.ravel(values).tolist())
        else:
            feature.float_list.value.extend(np.ravel(values).tolist())
    return example.SerializeToString()


def frame_records(contents: Iterable[bytes]) -> bytes:
    """A TFRecord file."""
    file = io.BytesIO()
    writer = RecordWriter(file)
    for content in contents:
        writer.write(content)
    return file.getvalue()


def write_tiles(path: Path, tiles: Iterable[Mapping[str, Any]]) -> Path:
    """Write a file of tiles, gzip'd if its name ends in .gz."""
    content = frame_records(map(encode, tiles))
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def make_tile(seed: int = 0, /, **changes: ArrayLike) -> dict[str, np.ndarray]:
    """A tile with numbers of the right size; `changes` are numbers that fill a feature, or its values."""
    random = np.random.default_rng(seed)
    names = (*TERRAIN, *CONDITIONS)
    tile = {name: random.uniform(1, 90, (64, 64)).astype("float32") for name in names}
    tile |= {name: random.integers(-1, 2, (64, 64)).astype("float32") for name in (PREVIOUS_FIRE, FIRE)}
    return tile | {name: np.broadcast_to(np.asarray(value, "float32"), (64, 64)) for name, value in changes.items()}
