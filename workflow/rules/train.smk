# Feature stores -> trained models. The settings that decide a model stand in its folder's name; MODEL_SCHEMA stands for the code.


rule train:
    """Everything but the backbone, from cached features; an interrupted training goes on from `last.ckpt`."""
    input:
        layout.split,
        ALL_FIRES,
        # Features follow from the fires and from the store's name alone: extracted in other shards they are the same.
        [ancient(store) for store in ALL_FEATURES],
    output:
        layout.model("{seed}") / "model.ckpt",
    log:
        LOGS / "train" / "seed-{seed}.log",
    benchmark:
        LOGS / "train" / "seed-{seed}.tsv"
    conda:
        "../../environment.yml"
    threads: 8
    resources:
        config=CONFIG,
        gpu=1,
        devices=1,  # processes that train one model, each on a GPU where there is one; raise both together
        mem_mb=16000,
        runtime=720,
    params:
        features=[settings.datasets[dataset].features or "" for dataset in DATASETS],
    message:
        "train seed {wildcards.seed}: {output}"
    shell:
        """
        emberformer train \
            --config {resources.config:q} \
            --seed {wildcards.seed} \
            --threads {threads} \
            --devices {resources.devices} \
            2>&1 | tee {log:q}
        """
