# EmberFormer's workflow, from raw fires to a scored forecast: `snakemake -n` says what would run and why, `snakemake` runs it.
from snakemake.utils import min_version

min_version("9.19")

# Without --configfile; merged under one, it would add its data sets to every run.
if not {"datasets", "detection"} & config.keys():

    configfile: "config/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/networks.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/features.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/finetune.smk"
include: "workflow/rules/hindcast.smk"
include: "workflow/rules/ensemble.smk"
include: "workflow/rules/foresight.smk"
include: "workflow/rules/detection.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/studies.smk"
include: "workflow/rules/experiments.smk"
include: "workflow/rules/folds.smk"
include: "workflow/rules/cross_validation.smk"
include: "workflow/rules/interpret.smk"
include: "workflow/rules/report.smk"


onstart:
    write_configuration(layout)
    for one in FOLD_LAYOUTS.values():
        write_configuration(one)
    for one in STUDIES.values():
        write_study(one)


LAST = layout.report if DATASETS else DETECTION[0]  # a detector of camera images alone has no report


rule all:
    """The report, and everything it stands on."""
    default_target: True
    input:
        ALL_FEATURES,
        LAST,
    message:
        f"all is up to date: {LAST}"


rule extract_features:
    """Only the feature stores."""
    input:
        ALL_FEATURES,
    message:
        "the feature stores are up to date: {input}"


rule ablations:
    """All experiments, or those of `--config experiments=NAME`: the verdicts on their hypotheses in one table."""
    input:
        layout.experiments / "summary.md",
    message:
        "the verdicts are up to date: {input}"


rule ensemble:
    """An ensemble of futures: trained, drawn, and scored beside its rivals."""
    input:
        layout.ensemble_scores / "ensemble_scores.csv",
    message:
        "the scores of the ensembles are up to date: {input}"


rule detection:
    """A detector of objects as boxes: trained, asked about the test, and scored beside a forecast's pieces."""
    input:
        DETECTION,
    message:
        "the detections and their scores are up to date: {input}"


rule foresight:
    """How far ahead features can be predicted: tables of similarity, predictors, heads, and the fire read from them."""
    input:
        FORESIGHT,
    message:
        "the study of foresight is up to date: {input}"


rule folds:
    """All folds of a cross-validation by year, or those of `--config folds=[0,1]`: their scores in one table."""
    input:
        layout.experiment / "folds.md",
    message:
        "the scores over folds are up to date: {input}"
