"""Golden features: the same settings give the same numbers, or `STORE_SCHEMA` is raised.

After a meant change of rendering or encoding: raise `STORE_SCHEMA` in `emberformer/feature_key.py`, then write the
golden file anew with `python -m tests.features.test_golden`.
"""

import json
from pathlib import Path

import numpy as np
import torch

from emberformer.feature_key import STORE_SCHEMA
from emberformer.features.backbone import load_backbone
from emberformer.features.rendering import dino_input, render_frame, render_terrain
from emberformer.settings import FeatureSettings

GOLDEN = Path(__file__).parents[1] / "golden" / "features.json"
KINDS = ["continuous", "categorical", "binary", "angle"]


def measured(scale: float) -> dict[str, list[float]]:
    """A few numbers of a small fire and a small terrain, from raw values to tokens."""
    settings = FeatureSettings(
        weights="random", architecture="dinov2-tiny", precision="float32", scale=scale, layers=(2,)
    )
    backbone = load_backbone(settings)
    rows, columns = np.mgrid[:40, :50]
    burned = ((rows - 18) ** 2 + (columns - 22) ** 2 < 90).astype(np.uint8)[None]
    bands = np.stack([rows * 3.0 + columns, (rows // 9) * 10 + columns // 20, rows % 2, (7.0 * columns) % 360])
    bands[:, 0, 0] = np.nan
    grey = np.concatenate([render_frame(burned), render_terrain(bands.astype(np.float32), KINDS)])
    with torch.inference_mode():
        tokens = backbone.encode(dino_input(torch.from_numpy(grey), backbone.patch_size, scale))
    return {
        "rendered": grey[:, 3::17, 5::23].round(5).flatten().tolist(),
        "cls": tokens.cls[:, ::31].numpy().astype(float).round(4).flatten().tolist(),
        "layers": tokens.layers[:, :, ::2, ::2, ::47].numpy().astype(float).round(4).flatten().tolist(),
        "patches": tokens.patches[:, ::2, ::2, ::47].numpy().astype(float).round(4).flatten().tolist(),
    }


def everything() -> dict:
    return {"store_schema": STORE_SCHEMA, "scale 1": measured(1.0), "scale 0.5": measured(0.5)}


def test_features_are_those_of_the_store_schema():
    golden, now = json.loads(GOLDEN.read_text()), everything()
    assert golden["store_schema"] == STORE_SCHEMA, "write the golden file anew (see the top of this file)"
    for scale in ("scale 1", "scale 0.5"):
        for name, values in golden[scale].items():
            assert np.allclose(values, now[scale][name], atol=2e-3), f"{name}, {scale}: features changed; see the top"


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(everything(), indent=1) + "\n")
