"""One batch through the network, forward and backward, before any epoch; and what an epoch will take."""

from __future__ import annotations

import math
import resource
import sys

import torch
from torch import nn

from emberformer.checkpoint import model_inputs
from emberformer.checks.finding import Finding
from emberformer.checks.first_batch import FirstBatch, first_batch
from emberformer.layout import Layout
from emberformer.network import SpreadNetwork
from emberformer.settings import Settings
from emberformer.training_settings import Phase


def check_network(settings: Settings, layout: Layout, device: str = "auto", phase: Phase = "phase1") -> list[Finding]:
    """The single-batch test: shapes, a finite loss, a gradient in every part; time and memory of an epoch.

    Args:
        settings: the configuration.
        layout: its paths; split and features must be there.
        device: auto, cpu, cuda or cuda:N.
        phase: that trains.

    Raises:
        InputError: a store or the split is missing or does not fit.
    """
    first = first_batch(settings, layout, device, phase)
    findings = check_batch(first)
    return findings if any(f.level == "ERROR" for f in findings) else [*findings, _epoch(first)]


def check_batch(first: FirstBatch) -> list[Finding]:
    """Shapes, loss and gradients of the first batch."""
    model, batch = first.model.train(), first.batch
    shapes = {key: list(value.shape) for key, value in model_inputs(model, batch).items()}
    with first.arithmetic():
        logits, counted = first.training.forecast(batch)
    said = ", ".join(f"{key} {'x'.join(map(str, shape))}" for key, shape in shapes.items())
    if logits.shape != batch["target"].shape:
        message = f"logits {tuple(logits.shape)} for a target {tuple(batch['target'].shape)}"
        return [Finding("ERROR", "batch", message, "the network does not give one logit a pixel", shapes)]
    with first.arithmetic():
        loss = first.training.loss_of(batch, logits, counted)
    loss.backward()
    new = float((batch["target"][counted] == 1).float().mean()) if counted.any() else 0.0
    finite = bool(torch.isfinite(loss))
    return [
        Finding("OK", "batch", said, "", {"inputs": shapes, "logits": list(logits.shape)}),
        Finding(
            "OK" if finite else "ERROR",
            "loss of a batch",
            f"{loss.item():.4f}; {100 * new:.2f} % of its open pixels burn",
            "" if finite else "look for NaN in the inputs, lower training.learning_rate, take precision 32-true",
            {"loss": loss.item() if finite else None, "new_fire_share": new},
        ),
        _gradients(model),
    ]


def _gradients(model: SpreadNetwork) -> Finding:
    """Whether every module of every part that trains got a finite gradient that is not zero."""
    idle, broken, norms = [], [], {}
    for part, modules in model.parts().items():
        for number, module in enumerate(modules):
            name = f"{part}.{_name(model, module) or number}"
            gradients = [p.grad for p in module.parameters() if p.requires_grad and p.grad is not None]
            if not any(p.requires_grad for p in module.parameters()):
                continue
            norm = float(sum(g.double().square().sum() for g in gradients) ** 0.5) if gradients else 0.0
            finite = math.isfinite(norm)
            norms[name] = norm if finite else None  # JSON has no NaN
            idle += [name] if norm == 0 else []
            broken += [] if finite else [name]
    if broken or idle:
        said = f"not finite in {', '.join(broken)}" if broken else f"none in {', '.join(idle)}"
        return Finding("ERROR", "gradients", said, "this part would not learn: report it with the configuration", norms)
    return Finding("OK", "gradients", ", ".join(f"{name} {norm:.2g}" for name, norm in norms.items()), "", norms)


def _name(model: nn.Module, wanted: nn.Module) -> str:
    return next((name for name, module in model.named_modules() if module is wanted), "")


def _epoch(first: FirstBatch) -> Finding:
    """Time of an epoch without reading, and the most memory so far."""
    step, forecast = first.step_seconds(), first.forecast_seconds()
    seconds = first.batches * step + first.scored * forecast
    memory = peak_bytes(first.device)
    return Finding(
        "OK",
        "an epoch",
        f"about {seconds:.0f} s without reading: {first.batches} batches of {step:.2f} s, {first.scored} forecasts of "
        f"{forecast:.2f} s; {memory / 2**30:.1f} GiB at most so far",
        "",
        {"seconds": seconds, "step_seconds": step, "forecast_seconds": forecast, "peak_bytes": memory},
    )


def peak_bytes(device: torch.device) -> int:
    """The most memory so far: of the GPU's tensors, else of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most
