"""Phases 2 and 3: the backbone trains too, from the best of the phase before."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor

from emberformer.checkpoint import load_model, open_landscapes, trained_parent
from emberformer.data.split import read_split
from emberformer.ensemble_settings import EnsembleSettings
from emberformer.errors import InputError
from emberformer.finetuned_checkpoint import backbone_hash, encodings_of, fine_tuned, written
from emberformer.headwind import Slope
from emberformer.layout import Layout
from emberformer.model.finetuned import FinetunedEmberFormer
from emberformer.model.lora import apart_from_orthogonal
from emberformer.model.tuned import TunedBackbone
from emberformer.network import SpreadNetwork
from emberformer.network_sizes import Sizes
from emberformer.run import EachEpoch, make_trainer
from emberformer.settings import Settings
from emberformer.training import Beginning, SpreadTraining, fit, make_loaders
from emberformer.training_settings import DistillationSettings, FinetuningSettings, Phase, TrainingSettings

log = logging.getLogger(__name__)
ORTHOGONAL = 0.5  # weight of AdaLoRA's regularisation, as peft's default
WARM, SETTLED = 0.1, 0.3  # shares of the steps before AdaLoRA takes ranks away, and after


def finetune(
    settings: Settings,
    layout: Layout,
    seed: int,
    phase: Phase,
    device: str = "auto",
    threads: int | None = None,
) -> Path:
    """Train one phase and write its folder, as `emberformer.training.train` does for phase 1.

    The parent's own score is the first candidate: the kept model is never worse than it on the validation steps.

    Args:
        settings: the whole configuration.
        layout: its paths.
        seed: of the parent, of order, windows and dropout.
        phase: 'phase2' or 'phase3'.
        device: auto, cpu, cuda or cuda:N.
        threads: CPU threads; None: torch's own choice.

    Returns:
        `model.ckpt`, which holds what was trained and no frozen weight of the backbone.

    Raises:
        InputError: no such phase, a parent that is not trained yet, or features and weights that do not fit.
    """
    phase_settings(settings, layout, phase)
    parent = trained_parent(layout, seed, phase)
    lightning.seed_everything(seed, verbose=False)
    model, sizes, _, _ = load_model(parent)
    begun = begin_finetuning(settings, layout, seed, phase, model, sizes, device, threads)
    return fit(begun, settings, layout, seed, phase)


def begin_finetuning(
    settings: Settings,
    layout: Layout,
    seed: int,
    phase: Phase,
    parent: SpreadNetwork,
    sizes: Sizes,
    device: str = "auto",
    threads: int | None = None,
) -> Beginning:
    """A phase before its first step; adapters begin by torch's chance as it stands.

    Args:
        settings: the whole configuration.
        layout: its paths.
        seed: of order, windows and dropout.
        phase: 'phase2' or 'phase3'.
        parent: the network that it goes on from.
        sizes: of the data.
        device: as in `finetune`.
        threads: as in `finetune`.
    """
    of_phase = phase_settings(settings, layout, phase)
    folder = layout.model(seed, phase)
    in_training = settings.model_copy(update={"training": training_of(settings.training, of_phase)})
    trainer = make_trainer(in_training, folder, device, threads, 1)
    landscapes = open_landscapes(layout, sizes)
    encodings, weights = encodings_of(landscapes), backbone_hash(layout, landscapes)
    network = fine_tuned(parent, settings, phase, encodings, weights, folder)
    network.train()  # the parent was loaded to forecast, and Lightning leaves that as it is
    split = read_split(layout.split, settings.split.leakage)
    steps, batches, validation = make_loaders(
        in_training, layout, landscapes, split, seed, trainer, network.inputs, network.block
    )
    total = len(batches) * of_phase.epochs
    training = SpreadTraining(
        network, in_training.training, total, Slope.of(sizes.normaliser), of_phase.backbone_learning_rate,
        _orthogonality(network),
    )  # fmt: skip
    trainer.callbacks += [EachEpoch(steps, seed), ParentFirst()]  # type: ignore[attr-defined]
    if network.backbone.adaptive is not None:
        trainer.callbacks.append(AdaptiveRanks(network.backbone, total))  # type: ignore[attr-defined]
    return Beginning(trainer, training, sizes, landscapes, batches, validation, written(encodings, weights))


def phase_settings(settings: Settings, layout: Layout, phase: Phase) -> FinetuningSettings:
    """Settings of phase 2 or 3.

    Raises:
        InputError: the configuration has no such phase.
    """
    found = {"phase2": settings.phase2, "phase3": settings.phase3}.get(phase)
    if found is None:
        raise InputError(
            f"{layout.config}: {phase}", "no settings", "the settings of this phase", f"add `{phase}: {{}}`"
        )
    return found


def training_of(
    first: TrainingSettings, of_phase: FinetuningSettings | DistillationSettings | EnsembleSettings
) -> TrainingSettings:
    """How a phase trains: its own keys, and for the rest those of phase 1."""
    own = {name: getattr(of_phase, name) for name in type(of_phase).model_fields if hasattr(first, name)}
    return first.model_copy(update=own)


def _orthogonality(network: FinetunedEmberFormer):
    if network.backbone.adaptive is None:
        return None

    def penalty(batch: dict[str, Tensor], logits: Tensor, counted: Tensor) -> Tensor:
        return ORTHOGONAL * apart_from_orthogonal(network.backbone)

    return penalty


class ParentFirst(lightning.Callback):
    """Scores the network before its first step, so that the best epoch is none where no epoch is better."""

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if trainer.global_step:
            return
        trainer.fit_loop.epoch_loop.val_loop.run()
        best = trainer.checkpoint_callback
        assert isinstance(best, ModelCheckpoint), "make_trainer keeps the best epoch"
        path, score = f"{best.dirpath}/best.ckpt", trainer.callback_metrics["val/new_ap"]
        best.best_k_models = {path: score}  # which it would not write before the first step
        best.kth_best_model_path, best.kth_value = path, score
        best.best_model_path, best.best_model_score = path, score
        trainer.save_checkpoint(path)


class AdaptiveRanks(lightning.Callback):
    """AdaLoRA's schedule: after every step the entries that matter least lose their rank (arXiv:2303.10512).

    What it has learned of the entries' importance is part of the run's checkpoints.

    Args:
        backbone: whose adapters are adaptive.
        total_steps: optimiser steps of the whole run.
    """

    def __init__(self, backbone: TunedBackbone, total_steps: int):
        adaptive = backbone.adaptive
        assert adaptive is not None, "AdaLoRA gives out ranks"
        self.adaptive: Any = adaptive
        self.config: Any = adaptive.peft_config[adaptive.trainable_adapter_name]
        settled = min(round(SETTLED * total_steps), total_steps - 1)
        self.config.total_step, self.config.tfinal = total_steps, settled
        self.config.tinit = min(round(WARM * total_steps), total_steps - settled - 1)
        self.config.deltaT = max(1, total_steps // 100)

    def on_train_batch_end(self, trainer: lightning.Trainer, *others: Any) -> None:
        self.adaptive.update_and_allocate(trainer.global_step)

    def state_dict(self) -> dict[str, Any]:
        """Importance of the entries, and which have lost their rank."""
        ranks = self.adaptive.rankallocator
        return {
            "importance": {name: getattr(ranks, name) for name in ("ipt", "exp_avg_ipt", "exp_avg_unc")},
            "rank_pattern": self.config.rank_pattern,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with them."""
        for name, values in state_dict["importance"].items():
            where = next(self.adaptive.parameters()).device
            setattr(self.adaptive.rankallocator, name, {key: torch.as_tensor(v).to(where) for key, v in values.items()})
        self.config.rank_pattern = state_dict["rank_pattern"]
