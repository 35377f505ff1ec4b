# Everything -> one self-contained page.

TABLES = [
    *rules.evaluate.output,
    *(rules.ensemble_evaluate.output if settings.ensemble else []),
    *(FORESIGHT if settings.foresight else []),
    *(DETECTION if settings.detection else []),
]


rule report:
    """Tables, curves and maps in one file that opens offline."""
    input:
        TABLES,
        layout.split,
        ALL_FIRES,
        ALL_FORECASTS,
        ALL_MODELS,
        INTERPRETATIONS,
        code("report"),
        [os.path.relpath(part) for part in sorted((PACKAGE / "report").glob("*.[hcj]*"))],  # .html, .css, .js
    output:
        report(layout.report, category="Report", caption="../report/page.rst"),
    log:
        LOGS / "report.log",
    benchmark:
        LOGS / "report.tsv"
    conda:
        "../../environment.yml"
    resources:
        config=CONFIG,
        mem_mb=8000,
        runtime=30,
    message:
        "write the report: {output}"
    shell:
        """
        emberformer report \
            --config {resources.config:q} \
            >{log:q} 2>&1
        """
