# Fires stores -> feature stores: the frozen backbone over every frame and terrain band, once.
#
# No module of the package is an input here: an edited comment must not send ten thousand frames through the backbone again.
# STORE_SCHEMA in emberformer/feature_key.py stands in the store's name and is raised when the code computes other numbers.


rule features_plan:
    """What the store will hold, and what of it is there already."""
    input:
        layout.fires("{dataset}") / STORE,
    output:
        FEATURES / ".plan" / "plan.json",
    log:
        LOGS / "features_plan" / "{dataset}-{key}.log",
    benchmark:
        LOGS / "features_plan" / "{dataset}-{key}.tsv"
    conda:
        "../../environment.yml"
    resources:
        config=config_of,
        variant=variant_of,
        mem_mb=2000,
        runtime=10,
    message:
        "plan the features {wildcards.key} of {wildcards.dataset}"
    shell:
        """
        emberformer features plan \
            --config {resources.config:q} {resources.variant} \
            --dataset {wildcards.dataset:q} \
            >{log:q} 2>&1
        """


rule features_extract:
    """One share of the blocks through the backbone, which is loaded once; blocks that are finished are passed over."""
    input:
        FEATURES / ".plan" / "plan.json",
    output:
        FEATURES / ".plan" / "shard-{shard}.json",
    log:
        LOGS / "features_extract" / "{dataset}-{key}-{shard}.log",
    benchmark:
        LOGS / "features_extract" / "{dataset}-{key}-{shard}.tsv"
    conda:
        "../../environment.yml"
    threads: 8
    resources:
        config=config_of,
        variant=variant_of,
        gpu=1,
        batch_tokens=0,  # 0: as many as suit the device. A resource and no param: it makes no feature stale
        mem_mb=8000,
        runtime=240,
    params:
        shards=settings.shards,
    message:
        "extract features {wildcards.key} of {wildcards.dataset}, shard {wildcards.shard} of {params.shards}"
    shell:
        """
        emberformer features extract \
            --config {resources.config:q} {resources.variant} \
            --dataset {wildcards.dataset:q} \
            --shard {wildcards.shard} \
            --shards {params.shards} \
            --batch-tokens {resources.batch_tokens} \
            --threads {threads} \
            2>&1 | tee {log:q}
        """


rule features_index:
    """The shards as one store that opens in xarray; its root is written last and holds the digest of every fire."""
    input:
        FEATURES / ".plan" / "plan.json",
        expand(FEATURES / ".plan" / "shard-{shard}.json", shard=range(settings.shards), allow_missing=True),
    output:
        FEATURES / STORE,
    log:
        LOGS / "features_index" / "{dataset}-{key}.log",
    benchmark:
        LOGS / "features_index" / "{dataset}-{key}.tsv"
    conda:
        "../../environment.yml"
    resources:
        config=config_of,
        variant=variant_of,
        mem_mb=4000,
        runtime=30,
    message:
        "index the features {wildcards.key} of {wildcards.dataset}: {output}"
    shell:
        """
        emberformer features index \
            --config {resources.config:q} {resources.variant} \
            --dataset {wildcards.dataset:q} \
            >{log:q} 2>&1
        """
