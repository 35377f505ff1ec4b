# The headline network and its forecasts -> what it looks at and where it fails.
LOOKED_AT = layout.interpreted
INTERPRETATIONS = [layout.interpretation(LOOKED_AT.first, dataset) / "about.json" for dataset in settings.tested]


rule interpret:
    """Attention, attribution, importance of inputs, features as colours, and the worst forecasts of one network."""
    input:
        LOOKED_AT.folder(LOOKED_AT.seeds[0]) / "model.ckpt",
        layout.forecasts(LOOKED_AT.first, "{dataset}") / STORE,
        layout.scores / "thresholds.json",
        layout.split,
        layout.fires("{dataset}") / STORE,
        code("interpretation.run"),
    output:
        layout.interpretation(LOOKED_AT.first, "{dataset}") / "about.json",
    log:
        LOGS / "interpret" / "{dataset}.log",
    benchmark:
        LOGS / "interpret" / "{dataset}.tsv"
    conda:
        "../../environment.yml"
    threads: 8
    resources:
        config=CONFIG,
        gpu=1,
        mem_mb=8000,
        runtime=60,
    params:
        phase=LOOKED_AT.phase,
        seed=LOOKED_AT.seeds[0],
        replicates=settings.evaluation.replicates,
    message:
        f"look into {LOOKED_AT.first} on {{wildcards.dataset}}"
    shell:
        """
        emberformer interpret \
            --config {resources.config:q} \
            --phase {params.phase} \
            --seed {params.seed} \
            --dataset {wildcards.dataset:q} \
            --threads {threads} \
            2>&1 | tee {log:q}
        """
