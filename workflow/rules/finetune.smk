# A trained model -> the phases after it, each from the best of the one before.


rule finetune:
    """The backbone trains too, from the best model of the phase before."""
    input:
        parent_of,
        split_of,
        ALL_FIRES,
        training_features,
    output:
        update(MODEL / "model.ckpt"),  # kept where it was trained on the same data
    log:
        LOGS / "finetune" / "{model}-seed-{seed}.log",
    benchmark:
        LOGS / "finetune" / "{model}-seed-{seed}.tsv"
    wildcard_constraints:
        model=FINETUNED,
    conda:
        "../../environment.yml"
    threads: 8
    resources:
        config=config_of,
        variant=variant_of,
        phase=phase_of,
        label=label_of,
        gpu=1,
        mem_mb=32000,
        runtime=1440,
    params:
        features=[settings.datasets[dataset].features or "" for dataset in DATASETS],
    message:
        "train {resources.label}, seed {wildcards.seed}: {output}"
    shell:
        """
        emberformer finetune \
            --config {resources.config:q} {resources.variant} \
            --phase {resources.phase} \
            --seed {wildcards.seed} \
            --threads {threads} \
            2>&1 | tee {log:q}
        """


rule distil:
    """A small network learns the forecasts of the last phase."""
    input:
        parent_of,
        split_of,
        ALL_FIRES,
        training_features,
    output:
        update(MODEL / "model.ckpt"),  # kept where it was trained on the same data
    log:
        LOGS / "distil" / "{model}-seed-{seed}.log",
    benchmark:
        LOGS / "distil" / "{model}-seed-{seed}.tsv"
    wildcard_constraints:
        model=STUDENT,
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
        emberformer distil \
            --config {resources.config:q} {resources.variant} \
            --seed {wildcards.seed} \
            --threads {threads} \
            2>&1 | tee {log:q}
        """
