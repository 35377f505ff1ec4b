# Trained models and rivals -> forecast stores, all of one form.


rule hindcast:
    """Forecasts of a trained model from every frame of the validation and test fires."""
    input:
        MODEL / "model.ckpt",
        split_of,
        layout.fires("{dataset}") / STORE,
        features_of,
        code("hindcast"),
    output:
        MODEL / "forecasts" / "{dataset}.zarr" / STORE,
    log:
        LOGS / "hindcast" / "{model}-seed-{seed}-{dataset}.log",
    benchmark:
        LOGS / "hindcast" / "{model}-seed-{seed}-{dataset}.tsv"
    wildcard_constraints:
        model=NETWORK,
    conda:
        "../../environment.yml"
    threads: 8
    resources:
        config=config_of,
        variant=variant_of,
        phase=phase_of,
        label=label_of,
        gpu=1,
        mem_mb=8000,
        runtime=120,
    params:
        features=lambda wildcards: settings.datasets[wildcards.dataset].features or "",
        forecast=settings.forecast.model_dump_json(),
    message:
        "forecast {wildcards.dataset} with {resources.label}, seed {wildcards.seed}"
    shell:
        """
        emberformer hindcast \
            --config {resources.config:q} {resources.variant} \
            --dataset {wildcards.dataset:q} \
            --phase {resources.phase} \
            --seed {wildcards.seed} \
            --threads {threads} \
            2>&1 | tee {log:q}
        """


rule baseline:
    """Forecasts of a rival, fitted on the data set's own fires, or on the others' where none of them may be used."""
    input:
        layout.split,
        ALL_FIRES,
        code("baselines"),
    output:
        layout.forecasts("{method}", "{dataset}") / STORE,
    log:
        LOGS / "baseline" / "{method}-{dataset}.log",
    benchmark:
        LOGS / "baseline" / "{method}-{dataset}.tsv"
    conda:
        "../../environment.yml"
    resources:
        config=CONFIG,
        mem_mb=4000,
        runtime=60,
    params:
        seed=settings.evaluation.seed,
        leads=settings.forecast.leads,
        every=settings.forecast.every,
    message:
        "forecast {wildcards.dataset} with {wildcards.method}"
    shell:
        """
        emberformer baseline \
            --config {resources.config:q} \
            --dataset {wildcards.dataset:q} \
            --method {wildcards.method:q} \
            >{log:q} 2>&1
        """
