"""A backbone of which a part trains: adapters, last blocks or all of it, for frames, for terrain or for both.

Tuning goes on from phase to phase. Both encoders are one frozen model at first. An adapter belongs to one encoder, so
that frames and terrain may share a model and differ in their adapters. Weights themselves are tuned in a model that
only the encoders of that phase use; the other one keeps, or gets, a model that was not touched.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from jaxtyping import Float
from peft import AdaLoraModel
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from emberformer.arithmetic import autocast
from emberformer.features.backbone import Backbone
from emberformer.features.blocks import block_arguments, blocks_of, embed, final_norm
from emberformer.features.extraction import BATCH_TOKENS, images_at_once
from emberformer.model.lora import adapter_parameters, add_adapter
from emberformer.model.recomputation import recomputed
from emberformer.training_settings import FinetuningSettings

Encoder = Literal["fire", "terrain"]


@dataclass
class Part:
    """How one encoder is made of its model.

    Args:
        model: key of its model.
        adapters: that are on, of all phases.
        blocks: last blocks that differ from the frozen backbone's; None: the whole of it may.
    """

    model: str
    adapters: list[str] = field(default_factory=list)
    blocks: int | None = 0


class TunedBackbone(nn.Module):
    """Backbones of the encoders that were ever tuned; the others keep their cached tokens and are not here.

    Its `state_dict` holds what was tuned in any phase, and never a frozen weight.

    Args:
        load: gives the frozen backbone, on the CPU.
    """

    def __init__(self, load: Callable[[], Backbone]):
        super().__init__()
        self.load, self.about = load, load()
        self.models = nn.ModuleDict({"0": self.about.model})
        self.parts: dict[Encoder, Part] = {}
        self.tuned_blocks: dict[str, int | None] = {}  # models whose own weights are tuned -> last blocks of them
        self.trained: list[nn.Parameter] = []
        self.checkpointing = False
        self._adaptive: list[AdaLoraModel] = []  # in a list, so that it is no submodule
        self.register_state_dict_post_hook(_without_frozen)
        self.register_load_state_dict_pre_hook(_with_frozen)

    def begin(self, phase: str, settings: FinetuningSettings) -> None:
        """Let a phase tune its encoders, on top of what earlier phases have done.

        Raises:
            InputError: a layer to adapt that does not exist.
        """
        blocks = settings.blocks
        for encoder in settings.encoders:
            part = self._part(encoder)
            part.blocks = None if None in (blocks, part.blocks) else max(blocks or 0, part.blocks or 0)
        if settings.method == "full":
            self._own_models(settings.encoders)
            for key in {self.parts[encoder].model for encoder in settings.encoders}:
                known = self.tuned_blocks.get(key, 0)
                self.tuned_blocks[key] = None if None in (blocks, known) else max(blocks or 0, known or 0)
        else:
            for encoder in settings.encoders:
                part, name = self.parts[encoder], f"{phase}_{encoder}"
                ranks = add_adapter(self._model(encoder), settings.lora, blocks, name)
                self._adaptive = [] if ranks is None else [ranks]
                part.adapters.append(name)
        self.checkpointing = settings.checkpointing
        self.trained = self._trained(settings)
        for p in self.parameters():
            p.requires_grad_(False)
        self._use(next(iter(self.parts)))

    @property
    def adaptive(self) -> AdaLoraModel | None:
        """What gives out the ranks in this phase, if anything does."""
        return self._adaptive[0] if self._adaptive else None

    def _part(self, encoder: Encoder) -> Part:
        """The encoder's part; where it has none yet, on a model whose own weights are as published."""
        if encoder not in self.parts:
            untouched = [key for key in self.models if key not in self.tuned_blocks]
            if not untouched:
                untouched = [str(len(self.models))]
                self.models[untouched[0]] = self.load().model
            self.parts[encoder] = Part(untouched[0])
        return self.parts[encoder]

    def _own_models(self, encoders: Sequence[Encoder]) -> None:
        """Copy a model that these encoders share with one that is not to change with them."""
        others = {part.model for encoder, part in self.parts.items() if encoder not in encoders}
        for key in {self.parts[encoder].model for encoder in encoders} & others:
            own = str(len(self.models))
            self.models[own] = copy.deepcopy(self.models[key])
            if key in self.tuned_blocks:
                self.tuned_blocks[own] = self.tuned_blocks[key]
            for encoder in encoders:
                if self.parts[encoder].model == key:
                    self.parts[encoder].model = own

    def _trained(self, settings: FinetuningSettings) -> list[nn.Parameter]:
        """Parameters that this phase trains: its weights, and the adapters of its encoders, of earlier phases too."""
        found: dict[int, nn.Parameter] = {}
        for encoder in settings.encoders:
            model = self._model(encoder)
            for name in self.parts[encoder].adapters:
                found |= {id(p): p for p in adapter_parameters(model, name).values()}
            if settings.method == "full":
                found |= {id(p): p for p in tuned_weights(model, settings.blocks).values()}
        return list(found.values())

    def _model(self, encoder: Encoder) -> nn.Module:
        return self.models[self.parts[encoder].model]

    def kept(self) -> set[str]:
        """Names of what a checkpoint holds: everything that was tuned."""
        names = set()
        for key, model in self.models.items():
            own = {name for name in model.state_dict() if "lora_" in name or "ranknum" in name}
            if key in self.tuned_blocks:
                own |= set(tuned_weights(model, self.tuned_blocks[key]))
            names |= {f"models.{key}.{name}" for name in own}
        return names

    def first_block(self, encoder: Encoder) -> int | None:
        """Number of blocks that are still the frozen backbone's; None where the embedding may differ too."""
        blocks = self.parts[encoder].blocks
        return None if blocks is None else len(blocks_of(self._model(encoder))) - blocks

    def keep_tail_only(self) -> None:
        """Drop what stands before the frames' tuned blocks, which cached hidden states stand for."""
        model, first = self._model("fire"), self.first_block("fire")
        assert first is not None
        for number in range(first):
            blocks_of(model)[number] = nn.Identity()
        model.embeddings = nn.Identity()  # type: ignore[assignment]

    def train(self, mode: bool = True) -> TunedBackbone:
        """Dropout of the adapters follows; the backbone itself always computes as when it made the cache."""
        super().train(False)
        self.training = mode
        for module in self.modules():
            if isinstance(module, LoraLayer):
                module.lora_dropout.train(mode)
        return self

    def encode(
        self, encoder: Encoder, values: Float[Tensor, "n ..."], grid: tuple[int, int], first: int | None
    ) -> Float[Tensor, "n Gy Gx D"]:
        """Patch tokens after the final LayerNorm, float32.

        Args:
            encoder: whose tokens.
            values: images [n c h w] as `dino_input` gives them, or hidden states [n S D] after block `first`.
            grid: patches along y and x.
            first: blocks that `values` have passed; None: they are images.
        """
        return self.encode_layers(encoder, values, grid, first, ())[:, 0]

    def encode_layers(
        self,
        encoder: Encoder,
        values: Float[Tensor, "n ..."],
        grid: tuple[int, int],
        first: int | None,
        layers: Sequence[int],
    ) -> Float[Tensor, "n K Gy Gx D"]:
        """Patch tokens after some blocks, before the final LayerNorm, and last those of `encode`; float32.

        Args:
            encoder: as in `encode`.
            values: as in `encode`.
            grid: as in `encode`.
            first: as in `encode`.
            layers: numbers of the blocks, from 1, all after `first`.
        """
        cpu = values.device.type == "cpu"
        at_once = images_at_once(BATCH_TOKENS["cpu"], grid, self.about.prefix_tokens) if cpu else len(values)
        parts = [self._encode(encoder, part, grid, first, layers) for part in values.split(max(1, at_once))]
        return torch.cat(parts)[:, :, self.about.prefix_tokens :].unflatten(2, grid)

    def _encode(
        self, encoder: Encoder, values: Tensor, grid: tuple[int, int], first: int | None, layers: Sequence[int]
    ) -> Float[Tensor, "n K S D"]:
        self._use(encoder)
        model, kept = self._model(encoder), []
        with autocast(self.about.precision, values.device):  # as when the cache was made
            hidden = embed(model, self.about.in_channels(values)) if first is None else values.float()
            told = block_arguments(model, grid, self.about.patch_size, values)
            for number, block in enumerate(blocks_of(model)[first or 0 :], (first or 0) + 1):
                hidden = self._pass(encoder, block, hidden, told)
                if number in layers:
                    kept.append(hidden.float())
            return torch.stack([*kept, final_norm(model)(hidden).float()], 1)

    def _pass(self, encoder: Encoder, block: nn.Module, hidden: Tensor, told: dict[str, Any]) -> Tensor:
        def passed(tokens: Tensor) -> Tensor:
            self._use(encoder)  # when it is computed again, the other encoder may be on
            return block(tokens, **told)

        return recomputed(passed, hidden) if self.checkpointing else passed(hidden)

    def _use(self, encoder: Encoder) -> None:
        """Switch on the adapters of an encoder."""
        part = self.parts[encoder]
        for layer in self._adapted(part.model):
            if layer.active_adapters != part.adapters:
                layer.set_adapter(part.adapters)  # which also says what trains: said again below
        for p in self.trained:
            p.requires_grad_(True)

    def _adapted(self, key: str) -> Iterator[LoraLayer]:
        return (module for module in self.models[key].modules() if isinstance(module, LoraLayer))


def tuned_weights(model: nn.Module, blocks: int | None) -> dict[str, nn.Parameter]:
    """The model's own parameters in its last blocks and final LayerNorm, or all of them; without adapters."""
    own = {name: p for name, p in model.named_parameters() if "lora_" not in name and "ranknum" not in name}
    if blocks is None:
        return {name: p for name, p in own.items() if "mask_token" not in name}  # of pretraining; nothing uses it
    inside = [*blocks_of(model)[len(blocks_of(model)) - blocks :], final_norm(model)]
    wanted = {id(p) for module in inside for p in module.parameters()}
    return {name: p for name, p in own.items() if id(p) in wanted}


def _without_frozen(module: nn.Module, state: dict[str, Any], prefix: str, local_metadata: object) -> None:
    """Take frozen weights out of a `state_dict`."""
    assert isinstance(module, TunedBackbone)
    kept = module.kept()
    for key in [key for key in state if key.startswith(prefix) and key.removeprefix(prefix) not in kept]:
        del state[key]


def _with_frozen(module: nn.Module, state: dict[str, Any], prefix: str, *others: object) -> None:
    """Put the module's own frozen weights into a state that is being loaded."""
    assert isinstance(module, TunedBackbone)
    own = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    for name in set(own) - module.kept():
        state.setdefault(prefix + name, own[name].detach())
