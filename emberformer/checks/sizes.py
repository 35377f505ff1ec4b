"""What a network weighs: parameters by part, memory of a training step, time of a forecast; all measured here."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn

from emberformer.atomic import write_whole
from emberformer.checks.first_batch import FirstBatch, first_batch, quickest
from emberformer.features.backbone import Backbone, load_backbone
from emberformer.features.rendering import dino_input
from emberformer.layout import Layout
from emberformer.model.finetuned import FinetunedEmberFormer
from emberformer.model.tuned import TunedBackbone
from emberformer.training_settings import Phase

MIB = 2**20
CACHED = {"frame_patches", "terrain_patches", "frame_hidden", "frame_images", "terrain_images"}  # of a backbone
COLUMNS = {
    "network": "network", "part": "part", "trainable": "trainable parameters", "frozen": "frozen parameters",
}  # fmt: skip
MEASURES = {
    "batch": "steps a batch",
    "activations_mib": "kept for the backward pass, MiB",
    "peak_mib": "most memory of a training step, MiB",
    "step_s": "training step, s",
    "cached_ms": "forecast of a frame from cached features, ms",
    "pixels_ms": "forecast of a frame from its pixels, ms",
}


@dataclass(frozen=True)
class NetworkSize:
    """Sizes of one network.

    Args:
        name: of the network or variant.
        parts: part -> (trainable, frozen) parameters.
        measures: as in `MEASURES`; NaN = cannot be had here.
    """

    name: str
    parts: dict[str, tuple[int, int]]
    measures: dict[str, float]


def measure_sizes(
    layout: Layout, variants: Sequence[str | None], device: str = "auto", phase: Phase = "phase1"
) -> list[NetworkSize]:
    """Sizes of networks of one configuration.

    Args:
        layout: paths of the configuration.
        variants: names of variants; None is the configuration's own network.
        device: auto, cpu, cuda or cuda:N.
        phase: in which they train; the models of the phases before it need not be there.

    Raises:
        InputError: split or features of a variant are not there, or it has no such phase.
    """
    found, backbones = [], {}
    for name in variants:
        own = layout.variant(name)
        features = own.settings.features
        first = first_batch(own.settings, own, device, phase)
        backbone = None
        if CACHED & set(first.model.inputs):
            if features not in backbones:
                backbones[features] = load_backbone(features, first.device)
            backbone = backbones[features]
        label = name or own.settings.model.network
        label = label if phase == "phase1" else f"{label}-{phase}"
        found.append(measure(label, first, backbone, features.scale))
    return found


def measure(name: str, first: FirstBatch, backbone: Backbone | None, scale: float) -> NetworkSize:
    """Sizes of one network.

    Args:
        name: of the network.
        first: the network with its first batch.
        backbone: frozen, as it made the features; None: the network needs none.
        scale: `features.scale`.
    """
    model = first.model
    parts = count_parameters(model.model if isinstance(model, FinetunedEmberFormer) else model)
    if backbone is not None:
        parts["backbone"] = _count(list(backbone.model.parameters()))
    if isinstance(model, FinetunedEmberFormer):
        parts |= _of_backbone(model.backbone, sum(parts["backbone"]))
    activations, peak = kept_bytes(first), step_bytes(first)
    cached = first.forecast_seconds()
    pixels = cached if backbone is None else cached + encode_seconds(backbone, first.whole, scale)
    measures = {
        "batch": len(first.batch["target"]),
        "activations_mib": activations / MIB,
        "peak_mib": float("nan") if peak is None else peak / MIB,
        "step_s": first.step_seconds(),
        "cached_ms": 1000 * cached,
        "pixels_ms": 1000 * pixels,
    }
    return NetworkSize(name, parts, measures)


def count_parameters(model: nn.Module) -> dict[str, tuple[int, int]]:
    """Trainable and frozen parameters of each child with parameters, and of what belongs to the network itself."""
    parts = {name: _count(list(child.parameters())) for name, child in model.named_children()}
    parts["own"] = _count(list(model.parameters(recurse=False)))
    return {name: counts for name, counts in parts.items() if any(counts)}


def _of_backbone(backbone: TunedBackbone, whole: int) -> dict[str, tuple[int, int]]:
    """Parameters of backbones of which a part trains, and of their adapters.

    Args:
        backbone: of the network, with all its models.
        whole: parameters of one model: blocks that cached hidden states stand for are frozen, and not in the network.
    """
    adapters = [p for name, p in backbone.named_parameters() if "lora_" in name]
    trainable, frozen = _count([p for name, p in backbone.named_parameters() if "lora_" not in name])
    counts = {"backbone": (trainable, max(frozen, whole - trainable)), "adapters": _count(adapters)}
    return {name: numbers for name, numbers in counts.items() if any(numbers)}


def _count(parameters: list[nn.Parameter]) -> tuple[int, int]:
    trainable = sum(p.numel() for p in parameters if p.requires_grad)
    return trainable, sum(p.numel() for p in parameters) - trainable


def kept_bytes(first: FirstBatch) -> int:
    """Memory that the forward pass of a batch keeps for the backward pass, without parameters and inputs."""
    model, kept = first.model.train(), {}
    known = [*model.parameters(), *model.buffers(), *first.batch.values()]
    not_counted = {tensor.untyped_storage().data_ptr() for tensor in known}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in not_counted:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        first.loss()
    return sum(kept.values())


def step_bytes(first: FirstBatch) -> int | None:
    """Most memory of a training step over what stands before it: activations, gradients, AdamW's two moments.

    Returns:
        Bytes; None where the system does not tell (no GPU, and no Linux with glibc).
    """
    model, cuda = first.model.train(), first.device.type == "cuda"
    _load_libraries(first.device)
    gc.collect()
    if cuda:
        torch.cuda.reset_peak_memory_stats(first.device)
        before = torch.cuda.memory_allocated(first.device)
    elif (before := _begin_peak()) is None:
        return None
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.0)
    first.loss().backward()
    optimizer.step()
    model.zero_grad()
    peak = torch.cuda.max_memory_allocated(first.device) if cuda else _status("VmHWM")
    return max(0, peak - before)


def _load_libraries(device: torch.device) -> None:
    """A step of next to nothing: what the first step of a process loads once is not the network's."""
    line = nn.Linear(1, 1, device=device)
    line(torch.ones(1, 1, device=device)).sum().backward()
    torch.optim.AdamW(line.parameters(), lr=0.0).step()


def _begin_peak() -> int | None:
    """Memory of this process, whose peak is counted anew from here on (Linux, proc_pid_clear_refs(5)).

    What was freed goes back to the system first: memory that is kept for reuse would hide a step's needs.
    """
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
        return _status("VmRSS")
    except (OSError, AttributeError):  # another system, or another C library than glibc
        return None


def _status(key: str) -> int:
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{key}:")]
    return 1024 * int(line.split()[1])


def encode_seconds(backbone: Backbone, whole: dict[str, Tensor], scale: float) -> float:
    """Time of the frozen backbone on the newest frame alone: the frames before it and the terrain are cached."""
    newest = whole["fire_pixels"][:, 0]
    with torch.inference_mode():
        return quickest(lambda: backbone.encode(dino_input(newest, backbone.patch_size, scale)), newest.device)


def size_tables(sizes: Sequence[NetworkSize]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Parameters by network and part with their sums, and measures by network."""
    rows = []
    for size in sizes:
        counts = list(size.parts.items())
        total = tuple(sum(count[n] for _, count in counts) for n in range(2))
        rows += [(size.name, part, *count) for part, count in [*counts, ("all", total)]]
    parameters = pd.DataFrame(rows, columns=list(COLUMNS))
    return parameters, pd.DataFrame([{"network": size.name, **size.measures} for size in sizes])


def write_sizes(folder: Path, sizes: Sequence[NetworkSize], machine: str, name: str = "sizes") -> str:
    """Write `sizes.csv`, `sizes_measured.csv` and `sizes.md`; gives the text of the last.

    Args:
        folder: to write to.
        sizes: of `measure_sizes`.
        machine: what they were measured on.
        name: in place of "sizes" in the files' names.
    """
    parameters, measures = size_tables(sizes)
    write_whole(folder / f"{name}.csv", parameters.to_csv(index=False))
    write_whole(folder / f"{name}_measured.csv", measures.to_csv(index=False))
    shown = parameters.rename(columns=COLUMNS).map(lambda v: f"{v:,}" if isinstance(v, int) else v)
    text = f"{_markdown(shown)}\n\nMeasured on {machine}:\n\n{_markdown(_measured(measures))}\n"
    write_whole(folder / f"{name}.md", text)
    return text


def _measured(measures: pd.DataFrame) -> pd.DataFrame:
    """Measures as people read them, a column a network."""
    lines = [
        [said, *("–" if value != value else f"{value:,.4g}" for value in measures[key])]
        for key, said in MEASURES.items()
    ]
    return pd.DataFrame(lines, columns=["", *measures["network"]])


def _markdown(table: pd.DataFrame) -> str:
    rows = [list(table.columns), ["---"] * table.shape[1], *table.astype(str).to_numpy().tolist()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
