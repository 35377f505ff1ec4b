# Folds of a cross-validation -> their scores in one table; which folds there are stands in folds.smk.


use rule split as split_fold with:
    output:
        layout.split.with_name("{fold_split}.json"),
    log:
        LOGS / "folds" / "split-{fold_split}.log",
    benchmark:
        LOGS / "folds" / "split-{fold_split}.tsv"
    resources:
        config=config_of_split,
        mem_mb=2000,
        runtime=10,


use rule baseline as baseline_of_fold with:
    input:
        layout.split.with_name("{fold_split}.json"),
        ALL_FIRES,
        code("baselines"),
    output:
        layout.root / "baselines" / "{method}-{fold_split}" / "{dataset}.zarr" / STORE,
    log:
        LOGS / "folds" / "baseline-{method}-{fold_split}-{dataset}.log",
    benchmark:
        LOGS / "folds" / "baseline-{method}-{fold_split}-{dataset}.tsv"
    resources:
        config=config_of_split,
        mem_mb=4000,
        runtime=60,


use rule evaluate as evaluate_fold with:
    input:
        split_of_fold,
        ALL_FIRES,
        forecasts_of_fold,
        code("evaluate.tables"),
    output:
        FOLD / "scores" / "scores.csv",
        FOLD / "scores" / "strata.csv",
        FOLD / "scores" / "differences.csv",
        FOLD / "scores" / "per_fire.csv",
        FOLD / "scores" / "reliability.csv",
        FOLD / "scores" / "thresholds.json",
        FOLD / "scores" / "protocol.json",
        expand(FOLD / "scores" / "sums" / "{method}.nc", method=layout.methods, allow_missing=True),
    log:
        LOGS / "folds" / "evaluate-{fold}.log",
    benchmark:
        LOGS / "folds" / "evaluate-{fold}.tsv"
    resources:
        config=config_of_fold,
        mem_mb=8000,
        runtime=60,


rule average:
    """Every score of the test in each fold, its mean and its standard deviation."""
    input:
        scores_of_folds,
        code("evaluate.fold_tables"),
    output:
        report(layout.experiment / "folds.md", category="Folds", caption="../report/folds.rst"),
        layout.experiment / "folds.csv",
    log:
        LOGS / "folds.log",
    benchmark:
        LOGS / "folds.tsv"
    conda:
        "../../environment.yml"
    resources:
        config=CONFIG,
        mem_mb=2000,
        runtime=10,
    params:
        folds=[f"--fold {number}" for number in FOLDS],
        protocol=settings.protocol,
    message:
        "the scores over folds: {output[0]}"
    shell:
        """
        emberformer average \
            --config {resources.config:q} \
            {params.folds} \
            >{log:q} 2>&1
        """
