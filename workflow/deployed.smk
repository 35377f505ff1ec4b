# EmberFormer's workflow as a module: `snakemake -n` says what would run and why, `snakemake` runs it. Rules of your own
# may stand below. The rules are those of the installed package, wherever it lies; an upgrade of it upgrades them.
from snakemake.utils import min_version

from emberformer.deployment import SNAKEFILE

min_version("9.19")

# Without --configfile; merged under one, it would add its data sets to every run.
if not {"datasets", "detection"} & config.keys():

    configfile: "config/config.yaml"


module emberformer:
    snakefile:
        str(SNAKEFILE)
    config:
        config


use rule * from emberformer
