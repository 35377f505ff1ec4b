"""The workflow as a module of another one: from a folder that `emberformer init` writes, and under a prefix."""

import re
from pathlib import Path

import pytest
import yaml

from emberformer.deployment import deploy
from tests.tiny import write_tiny_dataset
from tests.workflow.running import ROOT, jobs_of, printed

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("warm_commands")]

GUIDE = ROOT / "docs" / "as-a-module.md"
DEMO = {
    "simulate": 1, "ingest": 1, "split": 1, "features_plan": 1, "features_extract": 2, "features_index": 1, "train": 1,
    "hindcast": 1, "baseline": 4, "evaluate": 1, "interpret": 1, "report": 1,
}  # fmt: skip
NOT_WANTED = ("baseline", "evaluate", "interpret", "report")  # for the forecasts alone
OWN = """
configfile: "tiny.yaml"


rule all:
    input:
        "fires.txt",


module emberformer:
    snakefile:
        {snakefile!r}
    config:
        config


use rule * from emberformer as emberformer_*


rule fires_of_the_test:
    input:
        rules.emberformer_split.output,
    output:
        "fires.txt",
    shell:
        "grep -c test {{input}} > {{output}}"


onstart:
    emberformer.onstart()
"""


def snakemake(folder: Path, *arguments: str) -> dict[str, int]:
    """Jobs of a call in a folder, by their rule."""
    return jobs_of(printed("snakemake", "--cores", "1", *arguments, cwd=folder))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A deployed folder whose fires are read and split."""
    folder = tmp_path_factory.mktemp("deployed")
    deploy(folder)
    source = write_tiny_dataset(folder / "source", fires=4, frames=3).model_dump(mode="json") | {"root": "source"}
    content = {"name": "tiny", "datasets": {"tiny": source}, "features": {"weights": "random"}}
    (folder / "tiny.yaml").write_text(yaml.safe_dump(content))
    assert snakemake(folder, "split", "--configfile", "tiny.yaml") == {"ingest": 1, "split": 1}
    return folder


def test_a_deployed_folder_plans_the_demo_and_keeps_to_its_configuration(folder):
    assert snakemake(folder, "--dry-run", "--configfile", "config/demo.yaml") == DEMO
    assert (
        folder / "results" / "tiny" / "config.yaml"
    ).exists()  # what the jobs read, though no handler of a module runs


@pytest.mark.parametrize("snakefile", ["Snakefile", "workflow/Snakefile"])
def test_under_a_prefix_own_rules_and_handlers_have_their_say(folder, snakefile):
    (folder / "own.smk").write_text(OWN.format(snakefile=str(ROOT / snakefile)))
    (folder / "results" / "tiny" / "config.yaml").unlink()
    (folder / "fires.txt").unlink(missing_ok=True)
    own = ("--snakefile", "own.smk")
    assert snakemake(folder, *own) == {"fires_of_the_test": 1}  # their `all`, and nothing anew under another name
    assert int((folder / "fires.txt").read_text()) > 0
    assert (folder / "results" / "tiny" / "config.yaml").exists()


def test_the_guides_workflow_plans_the_demo_under_its_prefix(folder):
    (snakefile,) = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    (folder / "guide.smk").write_text(snakefile)
    planned = snakemake(folder, "--snakefile", "guide.smk", "--dry-run", "all", "emberformer_extract_features")
    wanted = {f"emberformer_{name}": count for name, count in DEMO.items() if name not in NOT_WANTED}
    assert planned == wanted | {"emberformer_extract_features": 1, "expected_area": 1}
