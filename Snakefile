# `snakemake -n` says what would run and why, `snakemake` runs it. The workflow stands where Snakemake's catalogue looks for it.
include: "workflow/Snakefile"


workflow.default_target = workflow.default_target or rules.all.rule.name  # Snakemake forgets that of an included file
