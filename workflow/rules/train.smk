# Feature stores -> trained models. The settings that decide a model stand in its folder's name; MODEL_SCHEMA stands for the code.
#
# One rule a kind of training serves all networks and variants; `networks.smk` says whose folder is whose.


rule train:
    """Everything but the backbone, from cached features; an interrupted training goes on from `last.ckpt`."""
    input:
        split_of,
        ALL_FIRES,
        training_features,
    output:
        update(MODEL / "model.ckpt"),  # kept where it was trained on the same data
    log:
        LOGS / "train" / "{model}-seed-{seed}.log",
    benchmark:
        LOGS / "train" / "{model}-seed-{seed}.tsv"
    wildcard_constraints:
        model=FROZEN,
    conda:
        "../../environment.yml"
    threads: 8
    resources:
        config=config_of,
        variant=variant_of,
        label=label_of,
        gpu=1,
        devices=1,  # processes that train one model, each on a GPU where there is one; raise both together
        mem_mb=16000,
        runtime=720,
    params:
        features=[settings.datasets[dataset].features or "" for dataset in DATASETS],
    message:
        "train {resources.label}, seed {wildcards.seed}: {output}"
    shell:
        """
        emberformer train \
            --config {resources.config:q} {resources.variant} \
            --seed {wildcards.seed} \
            --threads {threads} \
            --devices {resources.devices} \
            2>&1 | tee {log:q}
        """
