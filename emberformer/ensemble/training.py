"""Training of the ensemble: flow matching on arrival times of the training fires, from cached features."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import cast

import lightning
import torch
from torch import Tensor, nn

from emberformer.arrival_leads import UNKNOWN
from emberformer.checkpoint import open_landscapes, trained_parent
from emberformer.data.split import read_split
from emberformer.ensemble.arrival_field import field_of
from emberformer.ensemble.batches import make_batches, margin_of, reach_of, read_priors, read_texts
from emberformer.ensemble.checkpoint import (
    EnsembleModel,
    ensemble_settings,
    load_ensemble,
    load_prior,
    new_generator,
    save_ensemble,
)
from emberformer.ensemble.conditioning import drop_codes
from emberformer.ensemble.flow import FlowDraw, FlowTerms, draw_times, flow_terms, shifted_time
from emberformer.ensemble.generator import Generator
from emberformer.ensemble.noise import with_shared
from emberformer.ensemble.warm_start import warm_start
from emberformer.ensemble_settings import EnsembleSettings
from emberformer.errors import InputError
from emberformer.finetuning import training_of
from emberformer.layout import Layout
from emberformer.network_sizes import Sizes
from emberformer.optimisation import exponential_average, warm_cosine
from emberformer.run import EachEpoch, TrainingRun, best_weights, decided_by, make_trainer, part_of
from emberformer.run_logs import RunDescription, RunLogs
from emberformer.settings import Settings, expand

log = logging.getLogger(__name__)
PLACES = 32  # patches over which the window's place on the frame is drawn, or the whole of a larger frame


class FlowTraining(lightning.LightningModule):
    """Training of a generator; futures are drawn, and validated, by the exponential average of its weights.

    Args:
        generator: what learns.
        settings: of the ensemble.
        total_steps: optimiser steps of the whole run, for the learning rate's course.
        margin: pixels from the edges of a window that are not scored: fire may come from outside, of which neither the
            generator nor the prior knows.
        places: patches over which a window's place on the frame is drawn; as many as the largest frame has, so that
            every place is known.
    """

    def __init__(
        self,
        generator: Generator,
        settings: EnsembleSettings,
        total_steps: int,
        margin: int = 0,
        places: int = PLACES,
    ):
        super().__init__()
        self.generator, self.settings, self.total_steps = generator, settings, total_steps
        self.margin, self.places = margin, places
        self.average = exponential_average(generator, settings.average)

    @property
    def averaged(self) -> Generator:
        """The generator of the averaged weights."""
        return cast(Generator, self.average.module)

    def terms(self, generator: Generator, batch: dict[str, Tensor], draw: FlowDraw, common: Tensor) -> FlowTerms:
        """What a batch says of a generator; `common [B]` is the part of the noise that pixels share."""
        conditioning = generator.conditioning(batch, batch.get("prior"))
        noise = with_shared(draw.noise, common[:, None].to(self.device), conditioning, self.settings.shared_noise)
        draw = draw._replace(noise=noise)
        lead = batch["arrival_lead"][:, None]
        to_come = batch["patches_to_come"][:, 0].flatten(1, 2) if self.settings.alignment else None
        field = field_of(lead, self.settings.leads)
        burned = (lead == 0) & self.settings.mask_channel  # what is held tells where the fire is
        return flow_terms(generator.network, conditioning, field, burned, lead == UNKNOWN, draw, to_come, self.margin)

    def loss(self, terms: FlowTerms) -> Tensor:
        """What training lowers: the error of the velocity, or for a network that tells how likely each value is their
        cross-entropy, which is least for the same network and does not grow without bounds towards the data.
        """
        of = self.settings
        return (terms.levels if of.predicts == "levels" else terms.flow) + of.alignment * terms.alignment

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        of, device = self.settings, self.device
        number, size = len(batch["index"]), batch["arrival_lead"].shape[1:]
        draw = FlowDraw(
            draw_times(number, of.time_shift).to(device),
            torch.randn(number, 1, *size).to(device),
            drop_codes(number, of.unconditional, of.context_only, of.dino_only).to(device),
        )
        batch = {**batch, "origin": (torch.rand(number, 2) * self.places).floor().to(device)}
        terms = self.terms(self.generator, batch, draw, torch.randn(number))
        loss = self.loss(terms)
        if not torch.isfinite(loss):
            raise InputError(
                f"step {self.global_step}", f"a loss of {loss.item()}", "a number",
                "lower ensemble.learning_rate, or set ensemble.warm_start: null to begin anew",
            )  # fmt: skip
        told = {
            "train/loss": loss,
            "train/flow": terms.flow,
            "train/levels": terms.levels,
            "train/velocity_norm": terms.velocity_norm,
        }
        if of.alignment:
            told["train/alignment"] = terms.alignment
        self.log_dict(told, on_step=False, on_epoch=True, batch_size=number)
        return loss

    def on_after_backward(self) -> None:
        """Tell the gradient of what brings the patches in, which should be neither zero nor explode."""
        watched: dict[str, nn.Module] = {"all": self.generator}
        if (patches := self.generator.network.dino_patch_proj) is not None:
            watched["patches"] = patches
        for name, part in watched.items():
            gradients = [p.grad.norm() for p in part.parameters() if p.grad is not None]
            self.log(f"train/gradient_norm_{name}", torch.stack(gradients).norm(), on_step=False, on_epoch=True)

    def on_before_zero_grad(self, optimizer: torch.optim.Optimizer) -> None:
        """After every step of the optimiser."""
        if self.average.n_averaged < self.global_step:
            self.average.update_parameters(self.generator)

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """The same times and noise in every epoch."""
        number, size = len(batch["index"]), batch["arrival_lead"].shape[1:]
        chance = torch.Generator().manual_seed(batch_idx)
        times = (torch.arange(number) + torch.rand(number, generator=chance)) / number
        draw = FlowDraw(
            shifted_time(times, self.settings.time_shift).to(self.device),
            torch.randn(number, 1, *size, generator=chance).to(self.device),
            torch.zeros(number, dtype=torch.long, device=self.device),
        )
        terms = self.terms(self.averaged, batch, draw, torch.randn(number, generator=chance))
        self.log("val/loss", self.loss(terms), prog_bar=True, batch_size=number)
        self.log("val/flow", terms.flow, batch_size=number)
        self.log("val/velocity_norm", terms.velocity_norm, batch_size=number)
        if batch_idx == 0:
            self._tell_attention(batch, draw)

    def _tell_attention(self, batch: dict[str, Tensor], draw: FlowDraw) -> None:
        network, conditioning = self.averaged.network, self.averaged.conditioning(batch, batch.get("prior"))
        for name, share in network.attention_shares(draw.noise, draw.time, network.prepare(conditioning)).items():
            self.log(f"val/attention_{name}", share.mean(), batch_size=len(share))

    def configure_optimizers(self):
        """AdamW with a rising, then falling rate."""
        of = self.settings
        optimizer = torch.optim.AdamW(self.generator.parameters(), of.learning_rate, weight_decay=of.weight_decay)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": warm_cosine(optimizer, of.warmup, self.total_steps), "interval": "step"},
        }


def train_ensemble(
    settings: Settings, layout: Layout, seed: int, device: str = "auto", threads: int | None = None
) -> Path:
    """Train the ensemble of one seed and write its folder: `model.ckpt`, `last.ckpt`, `metrics.csv`, `config.yaml`.

    A run that was stopped goes on from `last.ckpt` if the fires are still the same. The epoch of the least validation
    loss is kept.

    Args:
        settings: the whole configuration.
        layout: its paths.
        seed: of the deterministic network, initial weights, order, windows, times and noise.
        device: auto, cpu, cuda or cuda:N.
        threads: CPU threads; None: torch's own choice.

    Raises:
        InputError: no ensemble in the configuration, a network that is not trained yet or did not forecast the training
            fires yet, no training or validation steps, or a loss that is no number.
    """
    of = ensemble_settings(settings, layout.config)
    lightning.seed_everything(seed, verbose=False)
    split, folder = read_split(layout.split, settings.split.leakage), layout.model(seed, "ensemble")
    found = load_prior(settings, layout, seed)
    sizes = Sizes.of(layout, split) if found is None else found[1]
    told: dict[str, int | None] = {"patience": of.epochs}  # never stopped early
    if not of.mask_channel:
        told["crop"] = None  # windows lie about the fire, and would tell where it is
    training = training_of(settings.training, of).model_copy(update=told)
    in_training = settings.model_copy(update={"training": training})
    trainer = make_trainer(in_training, folder, device, threads, 1, watched=("val/loss", "min"))
    landscapes = open_landscapes(layout, sizes)
    text_features = read_texts(landscapes, of)
    forecasts = read_priors(landscapes, layout, seed, split)
    made_from = [trained_parent(layout, seed, "ensemble"), *forecasts] if of.prior else []
    run = TrainingRun(folder, decided_by(landscapes, layout, *made_from))
    if run.ended:
        return run.kept()
    generator = new_generator(sizes, of, text_features)
    if of.warm_start is not None:
        log.info("warm start from %s: %s", of.warm_start, warm_start(generator, _state(of.warm_start)))
    where = trainer.strategy.root_device
    batches = make_batches(in_training, of, layout, landscapes, split, seed, where, generator)
    reach = reach_of(landscapes, split, of.leads)
    margin = margin_of(landscapes, reach, in_training, of)
    places = max(PLACES, *(side for landscape in landscapes for side in landscape.grid))
    module = FlowTraining(generator, of, len(batches.training) * of.epochs, margin, places)
    trainer.callbacks.append(EachEpoch(batches.steps, seed))  # type: ignore[attr-defined]
    folder.mkdir(parents=True, exist_ok=True)
    logs = RunLogs(settings, folder, seed, "ensemble")
    log.info("parameters: %d", sum(p.numel() for p in generator.parameters()))
    trainer.loggers = logs.loggers(run.begin())
    trainer.callbacks.append(RunDescription(settings))  # type: ignore[attr-defined]
    trainer.fit(module, batches.training, batches.validation, ckpt_path=run.checkpoint, weights_only=False)
    weights, score = best_weights(trainer)
    model = EnsembleModel(generator, sizes, settings, reach, text_features, {})
    logs.end(trainer, save_ensemble(folder, part_of(weights, "average.module."), model, layout, seed, score))
    run.end()
    return folder / "model.ckpt"


def _state(path: Path) -> dict[str, Tensor]:
    return load_ensemble(expand(path)).generator.state_dict()
