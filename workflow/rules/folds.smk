# Folds of a cross-validation by year -> their scores in one table.
#
# Each fold is a configuration of its own on the same fires and feature stores: its networks are trained and forecast by the
# same rules, and only what follows from the split and not from a network has a rule of its own here.
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


use rule split as split_fold with:
    output:
        layout.split.with_name("{fold_split}.json"),
    log:
        LOGS / "folds" / "split-{fold_split}.log",
    benchmark:
        LOGS / "folds" / "split-{fold_split}.tsv"
    resources:
        config=config_of_split,
        mem_mb=2000,
        runtime=10,


use rule baseline as baseline_of_fold with:
    input:
        layout.split.with_name("{fold_split}.json"),
        ALL_FIRES,
        code("baselines"),
    output:
        layout.root / "baselines" / "{method}-{fold_split}" / "{dataset}.zarr" / STORE,
    log:
        LOGS / "folds" / "baseline-{method}-{fold_split}-{dataset}.log",
    benchmark:
        LOGS / "folds" / "baseline-{method}-{fold_split}-{dataset}.tsv"
    resources:
        config=config_of_split,
        mem_mb=4000,
        runtime=60,


use rule evaluate as evaluate_fold with:
    input:
        split_of_fold,
        ALL_FIRES,
        forecasts_of_fold,
        code("evaluate.tables"),
    output:
        FOLD / "scores" / "scores.csv",
        FOLD / "scores" / "strata.csv",
        FOLD / "scores" / "differences.csv",
        FOLD / "scores" / "per_fire.csv",
        FOLD / "scores" / "reliability.csv",
        FOLD / "scores" / "thresholds.json",
        FOLD / "scores" / "protocol.json",
    log:
        LOGS / "folds" / "evaluate-{fold}.log",
    benchmark:
        LOGS / "folds" / "evaluate-{fold}.tsv"
    resources:
        config=config_of_fold,
        mem_mb=8000,
        runtime=60,


rule average:
    """Every score of the test in each fold, its mean and its standard deviation."""
    input:
        scores_of_folds,
        code("evaluate.fold_tables"),
    output:
        report(layout.experiment / "folds.md", category="Folds", caption="../report/folds.rst"),
        layout.experiment / "folds.csv",
    log:
        LOGS / "folds.log",
    benchmark:
        LOGS / "folds.tsv"
    conda:
        "../../environment.yml"
    resources:
        config=CONFIG,
        mem_mb=2000,
        runtime=10,
    params:
        folds=[f"--fold {number}" for number in FOLDS],
        protocol=settings.protocol,
    message:
        "the scores over folds: {output[0]}"
    shell:
        """
        emberformer average \
            --config {resources.config:q} \
            {params.folds} \
            >{log:q} 2>&1
        """
