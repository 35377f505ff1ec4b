# Forecast stores -> verification tables.


rule evaluate:
    """Scores of every method on the same pixels of the same fires, with their uncertainty."""
    input:
        layout.split,
        ALL_FIRES,
        ALL_FORECASTS,
        code("evaluate.tables"),
    output:
        report(layout.scores / "scores.csv", category="Scores", caption="../report/scores.rst"),
        layout.scores / "strata.csv",
        report(layout.scores / "differences.csv", category="Scores", caption="../report/differences.rst"),
        layout.scores / "per_fire.csv",
        layout.scores / "reliability.csv",
        layout.scores / "thresholds.json",
        layout.scores / "protocol.json",
        expand(layout.scores / "sums" / "{method}.nc", method=layout.methods),
    log:
        LOGS / "evaluate.log",
    benchmark:
        LOGS / "evaluate.tsv"
    conda:
        "../../environment.yml"
    threads: 8
    resources:
        config=CONFIG,
        mem_mb=8000,
        runtime=60,
    params:
        methods=layout.methods,  # their names stand in the tables; equal networks of two names share a folder
        settings=lambda wildcards: settings.evaluation.model_dump_json(),
        protocol=settings.followed_protocol,
    message:
        "evaluate all forecasts: {output[0]}"
    shell:
        """
        emberformer evaluate \
            --config {resources.config:q} \
            --threads {threads} \
            >{log:q} 2>&1
        """
