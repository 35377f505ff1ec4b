"""Arithmetic of matrix products: bfloat16 only where the device has units for it.

Without them a processor multiplies bfloat16 some fifty times as slowly as float32 (1.2 and 69 GFLOP/s, measured with
AVX2), and float32 is never less exact. What asks for bfloat16 gets float32 there, and this is logged.
"""

from __future__ import annotations

import contextlib
import functools
import logging
from typing import Literal

import torch

log = logging.getLogger(__name__)
EMULATING = ("DEFAULT", "NO AVX", "AVX2")  # oneDNN has fast bfloat16 products from AVX-512 on, and on ARM with SVE


@functools.cache
def lacks_bfloat16(kind: str) -> bool:
    """Whether a kind of device, such as 'cpu', can only emulate bfloat16; the first time this is logged."""
    lacks = kind == "cpu" and torch.backends.cpu.get_cpu_capability() in EMULATING
    if lacks:
        log.info("this processor has no units for bfloat16: float32 is used, as exact and here far faster")
    return lacks


def autocast(precision: str, device: torch.device) -> contextlib.AbstractContextManager:
    """Matrix products in a precision.

    Args:
        precision: 'float32', 'bfloat16' or 'float16', as `FeatureSettings.precision`.
        device: that computes.
    """
    if precision == "float32" or (precision == "bfloat16" and lacks_bfloat16(device.type)):
        return contextlib.nullcontext()
    return torch.autocast(device.type, getattr(torch, precision))


def of_training(precision: Literal["32-true", "bf16-mixed"], device: torch.device) -> Literal["32-true", "bf16-mixed"]:
    """What Lightning is told, of the precision that a training asks for."""
    return "32-true" if lacks_bfloat16(device.type) else precision
