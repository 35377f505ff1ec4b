"""OpenVINO as the runtime of the frozen backbone: on CPUs with bfloat16 units about 1.5 times as fast as torch."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from emberformer.errors import InputError

PRECISION = {"float32": "f32", "bfloat16": "bf16"}


class OpenVinoRuntime:
    """Runs a module of images through OpenVINO's CPU plugin, compiled once for each image size and any batch size.

    Args:
        module: takes images [B c h w], one channel or three, gives a tuple of tokens [B N D].
        precision: 'float32' or 'bfloat16'.

    Raises:
        InputError: OpenVINO is not installed.

    References:
        https://docs.openvino.ai, "Optimizing Inference", properties of the CPU device.
    """

    def __init__(self, module: nn.Module, precision: str):
        if importlib.util.find_spec("openvino") is None:
            raise InputError(
                "features.runtime", "openvino is not installed", "the optional package",
                "pip install 'emberformer[openvino]', or use `runtime: torch`",
            )  # fmt: skip
        self.module, self.precision = module, precision
        self._compiled = {}
        self._traced = []  # OpenVINO reads their weights in place

    def run(self, images: Float[Tensor, "B c h w"]) -> tuple[Tensor, ...]:
        """The module's tokens of the images, float32 and without gradients."""
        size = tuple(images.shape[2:])
        if size not in self._compiled:
            self._compiled[size] = self._compile(images)
        results = self._compiled[size](images.detach().float().contiguous().numpy(), share_inputs=True)
        return tuple(torch.from_numpy(values) for values in results.to_tuple())

    def _compile(self, images: Tensor):
        # Not `openvino.convert_model`, which would report its use to OpenVINO's makers.
        from openvino.frontend import FrontEndManager
        from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

        example = torch.zeros(1, *images.shape[1:])
        with torch.no_grad(), warnings.catch_warnings(), fixed_positions(self.module, images.shape[2], images.shape[3]):
            warnings.simplefilter("ignore")  # of what depends on the image size, which is fixed here
            traced = torch.jit.trace(lambda image: self.module(image), example, check_trace=False)
            decoder = TorchScriptPythonDecoder(traced, example_input=(example,), shared_memory=True)
        self._traced.append(decoder)
        frontend = FrontEndManager().load_by_framework("pytorch")
        model = frontend.convert(frontend.load(decoder))
        model.reshape([-1, *images.shape[1:]])
        return core().compile_model(
            model,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": PRECISION[self.precision],
                "INFERENCE_NUM_THREADS": torch.get_num_threads(),
                "ENABLE_CPU_PINNING": False,  # pinned threads would keep torch's own on the same cores
            },
        )


@functools.cache
def core():
    """The one OpenVINO of this process.

    Its CPU plugin gives the thread that loads it a signal stack and unmaps that when it is unloaded, from whichever
    thread and whatever came in between: the next signal, Ctrl-C or the end of a worker, would then kill the process.
    """
    from openvino import Core

    return Core()


@contextlib.contextmanager
def fixed_positions(module: nn.Module, height: int, width: int) -> Iterator[None]:
    """Position encodings as torch interpolates them for one image size: OpenVINO's bicubic differs by 1e-3."""
    embeddings: list[Any] = [part for part in module.modules() if hasattr(part, "interpolate_pos_encoding")]
    for part in embeddings:
        rows, columns = height // part.patch_embeddings.patch_size[0], width // part.patch_embeddings.patch_size[1]
        tokens = torch.empty(1, 1 + rows * columns, part.position_embeddings.shape[2])
        positions = part.interpolate_pos_encoding(tokens, height, width)
        part.interpolate_pos_encoding = lambda *_, fixed=positions: fixed
    try:
        yield
    finally:
        for part in embeddings:
            del part.interpolate_pos_encoding
