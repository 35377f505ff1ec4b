"""bfloat16 where there are units for it; float32 on processors that would emulate it."""

import logging
from typing import Literal

import pytest
import torch

from emberformer import arithmetic
from emberformer.features.backbone import load_backbone
from emberformer.settings import FeatureSettings

CPU = torch.device("cpu")


@pytest.fixture
def processor(monkeypatch):
    """Say which vector units the processor has."""

    def has(units: str) -> None:
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: units)
        arithmetic.lacks_bfloat16.cache_clear()

    yield has
    arithmetic.lacks_bfloat16.cache_clear()


def tokens(precision: Literal["float32", "bfloat16"]) -> torch.Tensor:
    of = FeatureSettings(weights="random", architecture="dinov2-tiny", precision=precision)
    return load_backbone(of).encode(torch.linspace(0, 1, 28 * 28).view(1, 1, 28, 28)).patches


def test_a_processor_without_units_computes_in_float32_and_says_so(processor, caplog):
    processor("AVX2")
    with caplog.at_level(logging.INFO):
        assert torch.equal(tokens("bfloat16"), tokens("float32"))
    assert caplog.text.count("no units for bfloat16") == 1
    assert arithmetic.of_training("bf16-mixed", CPU) == "32-true"


def test_a_processor_with_units_computes_as_asked(processor):
    processor("AVX512")
    assert not torch.equal(tokens("bfloat16"), tokens("float32"))
    assert arithmetic.of_training("bf16-mixed", CPU) == "bf16-mixed"
    assert arithmetic.of_training("32-true", CPU) == "32-true"


def test_a_gpu_computes_as_asked(processor):
    processor("AVX2")
    assert arithmetic.of_training("bf16-mixed", torch.device("cuda")) == "bf16-mixed"
