# The last phase's network and the feature stores -> an ensemble of futures: members and their burn probability.


rule ensemble_prior:
    """Forecasts of the training and validation fires on whole frames, which the generator learns from."""
    input:
        MODEL / "model.ckpt",
        split_of,
        layout.fires("{dataset}") / STORE,
        features_of,
        code("hindcast"),
    output:
        MODEL / "forecasts" / "{dataset}.learned-from.zarr" / STORE,
    log:
        LOGS / "prior" / "{model}-seed-{seed}-{dataset}.log",
    benchmark:
        LOGS / "prior" / "{model}-seed-{seed}-{dataset}.tsv"
    wildcard_constraints:
        model=NETWORK,
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
        leads=lambda wildcards: network(wildcards.model).one.layout.settings.ensemble.leads,
    message:
        "forecast {wildcards.dataset} with {resources.label}, seed {wildcards.seed}, for an ensemble to learn from"
    shell:
        """
        emberformer ensemble prior \
            --config {resources.config:q} {resources.variant} \
            --dataset {wildcards.dataset:q} \
            --seed {wildcards.seed} \
            --threads {threads} \
            2>&1 | tee {log:q}
        """


rule ensemble_train:
    """The generator of futures; an interrupted training goes on from `last.ckpt`."""
    input:
        split_of,
        ALL_FIRES,
        training_features,
        prior_of,
        learned_from,
    output:
        update(MODEL / "model.ckpt"),  # kept where it was trained on the same data
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


RIVALS_DRAWN = settings.ensemble.model_dump_json(include={"members", "seed"}) if settings.ensemble else ""
if settings.evaluation.crop != "none":  # on which the correlation is fitted
    RIVALS_DRAWN += settings.evaluation.crop


rule ensemble_rival:
    """Members from the network's own forecasts; of a deep ensemble, from those of all seeds."""
    input:
        rival_inputs,
        code("ensemble.rivals"),
    output:
        RIVAL / "{dataset}.members.zarr" / STORE,
    log:
        LOGS / "rival" / "{model}{of_seed}-{rival}-{dataset}.log",
    benchmark:
        LOGS / "rival" / "{model}{of_seed}-{rival}-{dataset}.tsv"
    wildcard_constraints:
        model=NETWORK,
        of_seed=r"(/seed-\d+)?",
        rival=one_of(RIVALS),
    conda:
        "../../environment.yml"
    threads: 8
    resources:
        config=config_of,
        seed=lambda wildcards: seed_of(wildcards) or "0",
        gpu=lambda wildcards: int(wildcards.rival == "dropout"),
        mem_mb=8000,
        runtime=240,
    params:
        drawn=RIVALS_DRAWN,
        every=settings.forecast.every,
    message:
        "draw members of {wildcards.dataset} with the rival {wildcards.rival}"
    shell:
        """
        emberformer ensemble rival \
            --config {resources.config:q} \
            --dataset {wildcards.dataset:q} \
            --rival {wildcards.rival} \
            --seed {resources.seed} \
            --threads {threads} \
            2>&1 | tee {log:q}
        """


rule ensemble_evaluate:
    """Scores of all ensembles on the same test forecasts, with their uncertainty."""
    input:
        layout.split,
        ALL_FIRES,
        ALL_MEMBERS,
        code("evaluate.ensemble_tables"),
    output:
        report(
            layout.ensemble_scores / "ensemble_scores.csv",
            category="Ensembles",
            caption="../report/ensemble_scores.rst",
        ),
        layout.ensemble_scores / "ensemble_differences.csv",
        layout.ensemble_scores / "rank_histogram.csv",
        layout.ensemble_scores / "reliability.csv",
        layout.ensemble_scores / "per_fire.csv",
        layout.ensemble_scores / "ensembles.json",
    log:
        LOGS / "ensemble_evaluate.log",
    benchmark:
        LOGS / "ensemble_evaluate.tsv"
    conda:
        "../../environment.yml"
    resources:
        config=CONFIG,
        mem_mb=8000,
        runtime=60,
    params:
        methods=sorted(layout.ensembles(DATASETS[0])) if DATASETS else [],
        settings=lambda wildcards: settings.evaluation.model_dump_json(),
    message:
        "evaluate all ensembles: {output[0]}"
    shell:
        """
        emberformer ensemble evaluate \
            --config {resources.config:q} \
            >{log:q} 2>&1
        """
