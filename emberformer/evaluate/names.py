"""Names of methods: a network or a baseline, its phase, and which seed or mean over seeds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, cast

from emberformer.errors import InputError
from emberformer.training_settings import Phase

HEADLINE_NETWORK = "emberformer"
HEADLINE_ENSEMBLE = f"{HEADLINE_NETWORK}-ensemble"
_FORM = re.compile(
    r"(?P<network>.+?)(?:-(?P<phase>phase2|phase3|student|ensemble))?(?:-seed-(?P<seed>\d+)| \(mean of \d+ seeds\))"
)


def seed_mean_name(trained: str, seeds: int) -> str:
    """Name of the mean over the seeds of a model, in the form that `parse_method` reads.

    >>> seed_mean_name("unet", 2)
    'unet (mean of 2 seeds)'
    """
    return f"{trained} (mean of {seeds} seeds)"


class MethodName(NamedTuple):
    """A method by the parts of its name.

    Args:
        network: name of the network or variant, or of the baseline.
        phase: its phase; None for a baseline, which is not trained by phases.
        seed: number of its seed; None for the mean over seeds, and for a baseline.
    """

    network: str
    phase: Phase | None
    seed: int | None

    @property
    def trained(self) -> str:
        """The method without its seed, as `Layout.trained` names it."""
        return self.network if self.phase in (None, "phase1") else f"{self.network}-{self.phase}"

    @property
    def is_model(self) -> bool:
        """Whether it is EmberFormer itself, in any phase."""
        return self.network == HEADLINE_NETWORK and self.phase is not None


def parse_method(method: str) -> MethodName:
    """Parts of a method's name.

    >>> parse_method("emberformer-phase2-seed-3")
    MethodName(network='emberformer', phase='phase2', seed=3)
    >>> parse_method("unet (mean of 2 seeds)")
    MethodName(network='unet', phase='phase1', seed=None)
    >>> parse_method("persistence")
    MethodName(network='persistence', phase=None, seed=None)
    """
    match = _FORM.fullmatch(method)
    if match is None:
        return MethodName(method, None, None)
    seed = match["seed"]
    return MethodName(match["network"], cast(Phase, match["phase"] or "phase1"), None if seed is None else int(seed))


def representatives(methods: Iterable[str]) -> list[str]:
    """What stands for each trained network and phase: the mean over its seeds, else its first seed; then baselines."""
    chosen: dict[str, str] = {}
    for method in methods:
        name = parse_method(method)
        if name.trained not in chosen or name.seed is None:
            chosen[name.trained] = method
    return sorted(chosen.values(), key=lambda method: parse_method(method).phase is None)


def parse_stores(given: Iterable[str], datasets: Sequence[str], taken: Iterable[str]) -> dict[str, dict[str, Path]]:
    """Forecast stores that are named on the command line.

    Args:
        given: texts "NAME=PATH"; with several data sets PATH holds "{dataset}".
        datasets: names of the data sets.
        taken: names of methods that are there already.

    Returns:
        Name -> data set -> store.

    Raises:
        InputError: a text has another form, or its name is taken.

    >>> parse_stores(["sim=theirs/{dataset}.zarr"], ["hills"], [])
    {'sim': {'hills': PosixPath('theirs/hills.zarr')}}
    """
    found: dict[str, dict[str, Path]] = {}
    for text in given:
        name, _, path = text.partition("=")
        where = f"--also {text}"
        if not path or not re.fullmatch(r"[\w.-]+", name):
            raise InputError(where, "no NAME=PATH", "such as simulator=theirs/{dataset}.zarr", "name it so")
        if name in {*taken, *found}:
            raise InputError(where, f"the name {name!r} twice", "a name of its own", "choose another name")
        if len(datasets) > 1 and "{dataset}" not in path:
            raise InputError(where, "one path", f"a store for each of {list(datasets)}", "write {dataset} in the path")
        found[name] = {dataset: Path(path.replace("{dataset}", dataset)).expanduser() for dataset in datasets}
    return found
