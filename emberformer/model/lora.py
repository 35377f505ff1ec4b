"""Low-rank adapters on the linear layers of a vision transformer's last blocks, by the library peft.

LoRA: y = W x + (alpha / rank) B A x with B = 0 at first (Hu et al. 2021, arXiv:2106.09685). AdaLoRA: B diag(e) A with
e = 0 at first, of which the entries that matter least are taken away while training (Zhang et al. 2023,
arXiv:2303.10512). Either way the adapted model begins as the frozen one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from peft import AdaLoraConfig, AdaLoraModel, LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from emberformer.errors import InputError
from emberformer.features.blocks import blocks_of
from emberformer.model_settings import LoraSettings

# Names that settings may use whatever transformers calls the layer in a family or version.
ALSO_CALLED = {
    "query": ("q_proj",),
    "key": ("k_proj",),
    "value": ("v_proj",),
    "output": ("o_proj", "attention.output.dense"),
    "fc1": ("up_proj", "weights_in"),
    "fc2": ("down_proj", "weights_out"),
}
SPARE = 1.5  # AdaLoRA begins with this many times the rank that it ends with


def target_layers(model: nn.Module, wanted: Sequence[str], blocks: int | None) -> list[str]:
    """Full names of the linear layers of the last blocks whose name ends in one of the wanted ones.

    Args:
        model: vision transformer, adapted already or not.
        wanted: ends of names, such as 'query', 'fc1' or 'attention.q_proj'.
        blocks: number of last blocks; None: all.

    Raises:
        InputError: a wanted name fits no layer.
    """
    all_blocks = blocks_of(model)
    last = {id(block) for block in all_blocks[-blocks if blocks else 0 :]}
    places = [name for name, module in model.named_modules() if id(module) in last]
    linear = [
        f"{place}.{name}"
        for place in places
        for name, module in model.get_submodule(place).named_modules()
        if isinstance(module, (nn.Linear, LoraLayer)) and "lora_" not in name and "base_layer" not in name
    ]
    found: list[str] = []
    for word in wanted:
        ends = (word, *ALSO_CALLED.get(word, ()))
        own = [name for name in linear if any(name == end or name.endswith(f".{end}") for end in ends)]
        if not own:
            there = sorted({name.removeprefix(f"{place}.") for place in places for name in linear if place in name})
            raise InputError(
                "lora.target_modules", word, f"the end of one of {', '.join(there)}",
                f"name layers of this backbone; {', '.join(ALSO_CALLED)} fit every family",
            )  # fmt: skip
        found += [name for name in own if name not in found]
    return found


def add_adapter(model: nn.Module, settings: LoraSettings, blocks: int | None, name: str) -> AdaLoraModel | None:
    """Put an adapter into a model, in place.

    Args:
        model: vision transformer.
        settings: rank, layers and kind.
        blocks: number of last blocks that are adapted; None: all.
        name: of the adapter.

    Returns:
        With AdaLoRA, what gives out the ranks (its schedule is set by `AdaptiveRanks`).

    Raises:
        InputError: a layer or a pattern that fits nothing.
    """
    layers = target_layers(model, settings.target_modules, blocks)
    for pattern in settings.rank_pattern:
        if not any(re.match(rf"(.*\.)?({pattern})$", layer) for layer in layers):
            raise InputError(
                "lora.rank_pattern", pattern, f"a pattern that fits the end of a name such as {layers[0]}",
                "correct the pattern, or adapt more layers",
            )  # fmt: skip
    if not settings.adaptive:
        config = LoraConfig(
            r=settings.rank, lora_alpha=settings.alpha,  # type: ignore[arg-type]
            lora_dropout=settings.dropout, target_modules=layers, rank_pattern=dict(settings.rank_pattern),
        )  # fmt: skip
        inject_adapter_in_model(config, model, name)
        return None
    config = AdaLoraConfig(
        init_r=max(settings.rank + 1, round(SPARE * settings.rank)), target_r=settings.rank,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]
        lora_dropout=settings.dropout, target_modules=layers, total_step=1,
    )  # fmt: skip
    return AdaLoraModel(model, {name: config}, name)


def adapter_parameters(model: nn.Module, name: str) -> dict[str, nn.Parameter]:
    """Parameters of one adapter, by their full name."""
    return {key: p for key, p in model.named_parameters() if "lora_" in key and name in key.split(".")}


def apart_from_orthogonal(model: nn.Module) -> Tensor:
    """Mean over AdaLoRA's matrices of |A A^T - 1| and |B^T B - 1| (Frobenius), its regularisation (equation 4)."""
    found = []
    for key, p in model.named_parameters():
        if "lora_A" in key or "lora_B" in key:
            product = p @ p.T if "lora_A" in key else p.T @ p
            found.append((product - product.new_ones(len(product)).diag()).norm())
    return sum(found[1:], found[0]) / len(found)
