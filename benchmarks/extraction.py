"""`python -m benchmarks --only extraction`: extraction against the bare model and the loop one would write.

All with dinov2-small (random weights: the same work) on frames of 224 x 224 pixels, one torch thread of a CPU.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import xarray as xr
import zarr
from torch import Tensor
from transformers import BitImageProcessorPil

from benchmarks.made_fires import NAME, make_fires
from benchmarks.ratios import interleaved
from emberformer.data.fires import open_fires
from emberformer.features.architectures import untrained
from emberformer.features.backbone import CPU
from emberformer.features.begun import BegunStore, begin_store
from emberformer.features.extraction import BATCH_TOKENS, extract_axis
from emberformer.features.plan import make_plan
from emberformer.features.rendering import dino_input, render_frame
from emberformer.settings import FeatureSettings

FIRES, PIXELS, REPEATS, THREADS = 6, 224, 5, 1
RUNTIMES = (("torch", "bfloat16", "torch bfloat16", ""), ("openvino", "bfloat16", "OpenVINO", ", OpenVINO"))


class Extraction:
    """An extraction of one small fires store that can be run again and again.

    Args:
        folder: for the stores.
        fires: the fires store.
        settings: backbone, precision and runtime.
        device: that the backbone runs on.
        compile: the backbone.
    """

    def __init__(
        self,
        folder: Path,
        fires: xr.Dataset,
        settings: FeatureSettings,
        device: torch.device = CPU,
        compile: bool = False,
    ):
        self.folder, self.fires, self.runs = folder, fires, 0
        self.plan = make_plan(fires, folder / "store.zarr")
        self.begun: BegunStore = begin_store(folder / "store.zarr", fires, settings, device, compile)
        self.tokens = BATCH_TOKENS[self.begun.backbone.device.type]

    def run(self) -> int:
        """Read, render, encode and write all frames; returns how many were encoded."""
        self.runs += 1
        store = self.folder / f"store-{self.runs}.zarr"
        make_plan(self.fires, store)
        blocks = list(range(self.plan.frame.blocks))
        return extract_axis(self.begun, store, self.fires, self.plan, "frame", blocks, self.tokens, "benchmark")

    def batches(self) -> list[Tensor]:
        """The same images in memory, in the batches of the extraction."""
        size = self.tokens // ((PIXELS // 14) ** 2 + 1)
        unique = np.unique(list(map(str, self.fires.frame_digest.values)), return_index=True)[1]
        images = torch.from_numpy(render_frame(self.fires.burned.values[np.sort(unique)]))
        return list(dino_input(images, 14, 1.0).split(size))

    def forward(self, batches: list[Tensor]) -> Callable[[], None]:
        """The bare model on those batches."""

        def run() -> None:
            with torch.inference_mode():
                for batch in batches:
                    self.begun.backbone.encode(batch)

        return run


def plain_loop(folder: Path, fires: xr.Dataset, model: torch.nn.Module) -> Callable[[], None]:
    """The loop one would write: image processor, transformers in float32 frame by frame, zarr-python's defaults."""
    processor = BitImageProcessorPil(do_resize=False, do_center_crop=False)

    def run() -> None:
        frames = fires.sizes["frame"]
        array = zarr.create_array(
            folder / "plain.zarr", shape=(frames, 257, 384), chunks=(1, 257, 384), dtype="float16", overwrite=True
        )
        with torch.no_grad():
            for n in range(frames):
                burned = (fires.burned[n].values == 1).astype(np.uint8) * 255
                inputs = processor(np.stack([burned] * 3, -1), return_tensors="pt")
                array[n] = model(**inputs).last_hidden_state[0].numpy().astype(np.float16)

    return run


def measure() -> dict[str, float]:
    """All figures."""
    torch.set_num_threads(THREADS)
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        _, layout = make_fires(Path(folder), FIRES, PIXELS)
        fires = open_fires(layout.fires(NAME))
        plain = plain_loop(Path(folder), fires, untrained("dinov2-small", 0).eval())
        for runtime, precision, name, said in RUNTIMES:
            settings = FeatureSettings(weights="random", precision=precision, runtime=runtime)  # type: ignore[arg-type]
            (Path(folder) / runtime).mkdir()
            extraction = Extraction(Path(folder) / runtime, fires, settings)
            share = interleaved(extraction.forward(extraction.batches()), extraction.run, REPEATS)
            gain = interleaved(plain, extraction.run, 3)
            figures[f"extraction / bare forward, frames a second{said}"] = round(share.ratio, 3)
            figures[f"extraction / plain loop, frames a second, {name}"] = round(gain.ratio, 2)
            different = len(set(map(str, fires.frame_digest.values)))
            figures["frames encoded / unique frames"] = round(extraction.run() / different, 3)
    few, many = (peak_memory(fires) for fires in (20, 200))
    figures["peak memory, 10 times the fires / as many as they are"] = round(many / few, 2)
    return figures


def peak_memory(fires: int) -> float:
    """Megabytes that an extraction of so many fires takes at most, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.extraction", str(fires)], capture_output=True, text=True, check=True
    )
    return float(done.stdout.split()[-1])


def extract_and_tell_memory(fires: int) -> None:
    """Extract fires with a tiny backbone, and print the peak memory that this took."""
    with tempfile.TemporaryDirectory() as name:
        subprocess.run(
            [sys.executable, "-c", f"from benchmarks.made_fires import make_fires; from pathlib import Path; "
             f"make_fires(Path({name!r}), {fires}, 112)"], check=True, capture_output=True,
        )  # fmt: skip
        store = open_fires(Path(name) / "results" / NAME / "fires.zarr")
        extraction = Extraction(Path(name), store, FeatureSettings(weights="random", architecture="dinov2-tiny"))
        extraction.run()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    extract_and_tell_memory(int(sys.argv[1]))
