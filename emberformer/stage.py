"""What the settings of every stage have in common."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

# Keys of several stages; the default is each stage's own.
Heads = Annotated[int, Field(ge=1, description="attention heads; they divide d_model")]
WeightDecay = Annotated[float, Field(ge=0, description="of the optimiser, AdamW")]
Warmup = Annotated[
    float,
    Field(
        ge=0, lt=1, description="share of all steps in which the learning rate rises; then it falls to 0 as a cosine"
    ),
]
GradientClip = Annotated[float, Field(gt=0, description="greatest norm of a gradient; a longer one is shortened to it")]
Precision = Annotated[
    Literal["32-true", "bf16-mixed"],
    Field(description="arithmetic: 32 bits, or bfloat16 in matrix products where the device has units for it"),
]


class Stage(BaseModel):
    """Settings of one stage: frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def merged(content: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Content with changes put in, key by key at every depth; lists are replaced whole.

    >>> merged({"model": {"layers": 2, "heads": 4}}, {"model": {"layers": 3}})
    {'model': {'layers': 3, 'heads': 4}}
    """
    result = dict(content)
    for key, value in changes.items():
        inner = result.get(key)
        result[key] = merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return result


def described(error: ValidationError) -> str:
    """Every key at fault, with its full path, what is wrong and what stands there."""
    return "; ".join(f"{_key(e['loc'])}: {e['msg']} (got {e['input']!r:.80})" for e in error.errors())


def _key(place: tuple[int | str, ...]) -> str:
    """Path of a key as it stands in the file, without the source of a data set, which pydantic puts in."""
    if place[:1] == ("datasets",) and len(place) > 2:
        place = (*place[:2], *place[3:])
    return ".".join(map(str, place)) or "(top level)"


def check_shares(train: float, validation: float, test: float) -> None:
    """Raise ValueError where the shares of a division do not add up to 1."""
    if abs(train + validation + test - 1) > 1e-6:
        raise ValueError("train + validation + test must be 1")
