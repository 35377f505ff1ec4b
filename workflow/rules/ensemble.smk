# The last phase's network and the feature stores -> an ensemble of futures: members and their burn probability.


rule ensemble_train:
    """The generator of futures; an interrupted training goes on from `last.ckpt`."""
    input:
        split_of,
        ALL_FIRES,
        training_features,
        prior_of,
    output:
        MODEL / "model.ckpt",
    log:
        LOGS / "train" / "{model}-seed-{seed}.log",
    benchmark:
        LOGS / "train" / "{model}-seed-{seed}.tsv"
    wildcard_constraints:
        model=ENSEMBLE,
    conda:
        "../../environment.yml"
    threads: 8
    resources:
        config=config_of,
        variant=variant_of,
        label=label_of,
        gpu=1,
        mem_mb=16000,
        runtime=720,
    params:
        features=[settings.datasets[dataset].features or "" for dataset in DATASETS],
    message:
        "train {resources.label}, seed {wildcards.seed}: {output}"
    shell:
        """
        emberformer ensemble train \
            --config {resources.config:q} {resources.variant} \
            --seed {wildcards.seed} \
            --threads {threads} \
            2>&1 | tee {log:q}
        """


rule ensemble_hindcast:
    """Members from the frames of the validation and test fires, and the share of them that burns each pixel."""
    input:
        MODEL / "model.ckpt",
        split_of,
        layout.fires("{dataset}") / STORE,
        features_of,
        prior_of,
        code("ensemble.hindcast"),
    output:
        MODEL / "forecasts" / "{dataset}.zarr" / STORE,
        MODEL / "forecasts" / "{dataset}.members.zarr" / STORE,
    log:
        LOGS / "hindcast" / "{model}-seed-{seed}-{dataset}.log",
    benchmark:
        LOGS / "hindcast" / "{model}-seed-{seed}-{dataset}.tsv"
    wildcard_constraints:
        model=ENSEMBLE,
    conda:
        "../../environment.yml"
    threads: 8
    resources:
        config=config_of,
        variant=variant_of,
        label=label_of,
        gpu=1,
        mem_mb=8000,
        runtime=240,
    params:
        features=lambda wildcards: settings.datasets[wildcards.dataset].features or "",
        every=settings.forecast.every,
        drawn=lambda wildcards: drawing_of(wildcards),
    message:
        "draw futures of {wildcards.dataset} with {resources.label}, seed {wildcards.seed}"
    shell:
        """
        emberformer ensemble hindcast \
            --config {resources.config:q} {resources.variant} \
            --dataset {wildcards.dataset:q} \
            --seed {wildcards.seed} \
            --threads {threads} \
            2>&1 | tee {log:q}
        """
