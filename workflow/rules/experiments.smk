# Experiments of config/experiments -> verdicts on their hypotheses. Their networks are trained and forecast by the same rules
# as the configuration's, from the same features; see docs/experiments.md.
#
# An experiment is read only when a target needs it: what does not fit a configuration must not stop its other targets.
from emberformer.experiments import find_experiments, plan_study, write_study

EXPERIMENTS = find_experiments(Path(workflow.basedir) / "config" / "experiments", CHOSEN_EXPERIMENTS)
STUDY = layout.experiments / "{experiment}"
STUDIES = {}  # experiments that have been read


wildcard_constraints:
    experiment=one_of(EXPERIMENTS),


def study(name):
    """An experiment on this configuration."""
    if name not in STUDIES:
        STUDIES[name] = plan_study(settings, EXPERIMENTS[name])
    return STUDIES[name]


def study_forecasts(wildcards):
    return forecast_stores(study(wildcards.experiment).layout)


def study_models(wildcards):
    """Models with their training curves."""
    trained = study(wildcards.experiment).layout.trained.values()
    return [one.folder(seed) / "model.ckpt" for one in trained for seed in one.seeds]


def study_file(wildcards):
    return os.path.relpath(EXPERIMENTS[wildcards.experiment])


rule judge:
    """Scores of an experiment's networks, and which of its hypotheses hold."""
    input:
        study_file,
        layout.split,
        ALL_FIRES,
        study_forecasts,
        study_models,
        code("evaluate.studies"),
    output:
        STUDY / "verdicts" / "verdicts.csv",
        STUDY / "verdicts" / "verdicts.md",
        report(STUDY / "verdicts" / "verdicts.html", category="Experiments"),
        STUDY / "scores" / "scores.csv",
    log:
        LOGS / "judge" / "{experiment}.log",
    benchmark:
        LOGS / "judge" / "{experiment}.tsv"
    conda:
        "../../environment.yml"
    resources:
        config=CONFIG,
        file=study_file,
        mem_mb=8000,
        runtime=60,
    params:
        settings=lambda wildcards: settings.evaluation.model_dump_json(exclude={"baselines"}),
    message:
        "judge the experiment {wildcards.experiment}: {output[0]}"
    shell:
        """
        emberformer judge \
            --config {resources.config:q} \
            --experiment {resources.file:q} \
            >{log:q} 2>&1
        """


rule summarise:
    """The verdicts of all experiments in one table."""
    input:
        expand(STUDY / "verdicts" / "verdicts.csv", experiment=EXPERIMENTS),
        code("evaluate.studies"),
    output:
        layout.experiments / "summary.md",
        layout.experiments / "summary.csv",
        report(layout.experiments / "summary.html", category="Experiments"),
    log:
        LOGS / "summarise.log",
    benchmark:
        LOGS / "summarise.tsv"
    conda:
        "../../environment.yml"
    resources:
        config=CONFIG,
        mem_mb=2000,
        runtime=10,
    params:
        verdicts=expand(STUDY / "verdicts" / "verdicts.csv", experiment=EXPERIMENTS),
    message:
        "the verdicts of all experiments: {output[0]}"
    shell:
        """
        emberformer summarise \
            --config {resources.config:q} \
            {params.verdicts:q} \
            >{log:q} 2>&1
        """
