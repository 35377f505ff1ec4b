# Forecasts of an experiment's networks -> verdicts on its hypotheses; what is asked of it stands in studies.smk.


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
        report(STUDY / "verdicts" / "verdicts.html", category="Experiments", caption="../report/verdicts.rst"),
        STUDY / "scores" / "scores.csv",
    log:
        LOGS / "judge" / "{experiment}.log",
    benchmark:
        LOGS / "judge" / "{experiment}.tsv"
    conda:
        "../../environment.yml"
    threads: 8
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
            --threads {threads} \
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
        report(layout.experiments / "summary.html", category="Experiments", caption="../report/summary.rst"),
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
