# Raw files -> fires stores -> split.


rule simulate:
    """Fires by minimum travel time on generated terrain, in the layout of real ones."""
    input:
        code("data.simulate"),
    output:
        "{root}/landscape/indices.json",
    log:
        f"{LOGS}/simulate/{{root}}.log",
    benchmark:
        f"{LOGS}/simulate/{{root}}.tsv"
    conda:
        "../../environment.yml"
    resources:
        config=CONFIG,
        mem_mb=2000,
        runtime=30,
    params:
        dataset=lambda wildcards: SIMULATED[wildcards.root],
        settings=lambda wildcards: settings.datasets[SIMULATED[wildcards.root]].simulation.model_dump_json(),
    message:
        "simulate the fires of {params.dataset}"
    shell:
        """
        emberformer simulate \
            --config {resources.config:q} \
            --dataset {params.dataset:q} \
            >{log:q} 2>&1
        """


rule ingest:
    """Frames, isochrones, terrain and weather of one data set, checked and in SI units -> fires store."""
    input:
        source_index,
        reader_code,
    output:
        layout.fires("{dataset}") / STORE,
    log:
        LOGS / "ingest" / "{dataset}.log",
    benchmark:
        LOGS / "ingest" / "{dataset}.tsv"
    conda:
        "../../environment.yml"
    resources:
        config=CONFIG,
        mem_mb=4000,
        runtime=60,
    params:
        settings=dataset_settings,
        sources=sources,
    message:
        "ingest {wildcards.dataset} into {output}"
    shell:
        """
        emberformer ingest \
            --config {resources.config:q} \
            --dataset {wildcards.dataset:q} \
            >{log:q} 2>&1
        """


rule split:
    """Which fires are trained on, chosen on and tested on."""
    input:
        ALL_FIRES,
        code("data.leakage"),
        code("data.split"),
    output:
        layout.split,
    log:
        LOGS / "split.log",
    benchmark:
        LOGS / "split.tsv"
    conda:
        "../../environment.yml"
    resources:
        config=CONFIG,
        mem_mb=2000,
        runtime=10,
    message:
        "split the fires into train, validation and test: {output}"
    shell:
        """
        emberformer split \
            --config {resources.config:q} \
            >{log:q} 2>&1
        """
