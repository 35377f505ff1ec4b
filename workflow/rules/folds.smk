# Folds of a cross-validation by year: their paths, and what their jobs are about.
#
# Each fold is a configuration of its own on the same fires and feature stores: its networks are trained and forecast by the
# same rules, and only what follows from the split and not from a network has a rule of its own, in cross_validation.smk.
from emberformer.data.wsts.samples import FOLDS as ALL_FOLDS
from emberformer.errors import InputError

CROSS_VALIDATED = settings.split.by == "year"
FOLDS = ([*range(len(ALL_FOLDS))] if CHOSEN_FOLDS is None else CHOSEN_FOLDS) if CROSS_VALIDATED else []
if not set(FOLDS) <= set(range(len(ALL_FOLDS))):
    raise InputError("--config folds", str(FOLDS), f"numbers from 0 to {len(ALL_FOLDS) - 1}", "correct the number")
FOLD_LAYOUTS = {}  # folds that a target needs
FOLD = layout.root / f"{settings.name}-fold-{{fold}}"
FOLD_OF_SPLIT = {of.split.stem: number for number in FOLDS if (of := layout.fold(number)).split != layout.split}


wildcard_constraints:
    fold=one_of(map(str, FOLDS)),
    fold_split=one_of(FOLD_OF_SPLIT),


def fold_layout(number):
    """Paths of a fold."""
    return FOLD_LAYOUTS.setdefault(int(number), layout.fold(int(number)))


def config_of_split(wildcards):
    return str(fold_layout(FOLD_OF_SPLIT[wildcards.fold_split]).config)


def config_of_fold(wildcards):
    return str(fold_layout(wildcards.fold).config)


def split_of_fold(wildcards):
    return fold_layout(wildcards.fold).split


def forecasts_of_fold(wildcards):
    return forecast_stores(fold_layout(wildcards.fold))


def scores_of_folds(wildcards):
    """Tables of the folds.

    Raises:
        InputError: the configuration has no folds.
    """
    if not FOLDS:
        remedy = "set `protocol: wsts-full` or `wsts-128`"
        raise InputError("target folds", f"split.by: {settings.split.by}", "split.by: year", remedy)
    return expand(FOLD / "scores" / "scores.csv", fold=FOLDS)
