# Feature stores -> a study of how far ahead features can be predicted: tables and maps, in minutes, on a CPU.

FORESIGHT_INPUT = [layout.split, *ALL_FIRES, *map(ancient, feature_stores(layout))]
ASKED = settings.foresight.model_dump_json() if settings.foresight else ""


rule foresight_similarity:
    """How alike features are after some frames, and where they change."""
    input:
        FORESIGHT_INPUT,
        code("foresight.study"),
    output:
        layout.foresight / "gap_similarity.csv",
        expand(layout.foresight / "change_maps_{dataset}.nc", dataset=settings.tested),
    log:
        LOGS / "foresight_similarity.log",
    benchmark:
        LOGS / "foresight_similarity.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        config=CONFIG,
        mem_mb=8000,
        runtime=60,
    params:
        asked=ASKED,
        features=[settings.datasets[dataset].features or "" for dataset in DATASETS],
        settings=settings.evaluation.model_dump_json(include={"replicates", "seed"}),
    message:
        "similarity of features: {output[0]}"
    shell:
        """
        emberformer foresight similarity \
            --config {resources.config:q} \
            --threads {threads} \
            >{log:q} 2>&1
        """


rule foresight_predict:
    """Predictors of coming features, and how much better they are than persistence and damped persistence."""
    input:
        FORESIGHT_INPUT,
        code("foresight.predict"),
    output:
        layout.foresight / "gap_predict.csv",
        layout.foresight / "predictors.pt",
    log:
        LOGS / "foresight_predict.log",
    benchmark:
        LOGS / "foresight_predict.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        config=CONFIG,
        mem_mb=8000,
        runtime=120,
    params:
        asked=ASKED,
        features=[settings.datasets[dataset].features or "" for dataset in DATASETS],
        settings=settings.evaluation.model_dump_json(include={"replicates", "seed"}),
    message:
        "predict features: {output[0]}"
    shell:
        """
        emberformer foresight predict \
            --config {resources.config:q} \
            --threads {threads} \
            >{log:q} 2>&1
        """


rule foresight_heads:
    """Heads by which the wind enters, with features and with the burned area as the target."""
    input:
        FORESIGHT_INPUT,
        code("foresight.heads"),
    output:
        layout.foresight / "head_grid.csv",
    log:
        LOGS / "foresight_heads.log",
    benchmark:
        LOGS / "foresight_heads.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        config=CONFIG,
        mem_mb=8000,
        runtime=120,
    params:
        asked=ASKED,
        features=[settings.datasets[dataset].features or "" for dataset in DATASETS],
        settings=settings.evaluation.model_dump_json(include={"replicates", "seed"}),
    message:
        "compare heads and targets: {output[0]}"
    shell:
        """
        emberformer foresight heads \
            --config {resources.config:q} \
            --threads {threads} \
            >{log:q} 2>&1
        """


rule foresight_probe:
    """The fire that predicted features tell, against copied ones and, where asked for, forecasts in pixels."""
    input:
        FORESIGHT_INPUT,
        rules.foresight_predict.output,
        pixel_forecasts,
        code("foresight.probe"),
    output:
        report(layout.foresight / "probe.csv", category="Foresight", caption="../report/probe.rst"),
    log:
        LOGS / "foresight_probe.log",
    benchmark:
        LOGS / "foresight_probe.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        config=CONFIG,
        mem_mb=8000,
        runtime=60,
    params:
        asked=ASKED,
        settings=settings.evaluation.model_dump_json(include={"replicates", "seed"}),
    message:
        "read fire from predicted features: {output[0]}"
    shell:
        """
        emberformer foresight probe \
            --config {resources.config:q} \
            --threads {threads} \
            >{log:q} 2>&1
        """


FORESIGHT = [
    *rules.foresight_similarity.output,
    *rules.foresight_predict.output,
    *rules.foresight_heads.output,
    *rules.foresight_probe.output,
]
