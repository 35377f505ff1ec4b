"""The real `snakemake` on a small data set, for tests: runs it and reads which jobs it did."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import yaml

from emberformer.layout import Layout
from emberformer.settings import parse_settings

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
TARGETS = ("all", "extract_features", "ablations", "ensemble", "folds", "foresight", "detection")


@dataclass(frozen=True)
class Run:
    """A working folder with a data set in `source` and its configuration."""

    folder: Path
    content: dict
    cores: int = 1  # with more, a job's threads wait for each other on cores that other tests use
    commands: ClassVar[Path] = BIN  # where `snakemake` finds itself and the verbs

    def changed(self, **sections: object) -> "Run":
        """The same folder with other settings: a mapping is merged into its section."""
        content = dict(self.content)
        for name, value in sections.items():
            content[name] = {**content.get(name, {}), **value} if isinstance(value, dict) else value
        return Run(self.folder, content)

    def arguments(self, *arguments: str) -> list[str]:
        """What Snakemake is told: `arguments`, and where it works."""
        file = self.folder / "tiny.yaml"
        file.write_text(yaml.safe_dump(self.content))
        fixed = ["--snakefile", ROOT / "Snakefile", "--directory", self.folder, "--configfile", file]
        return [str(part) for part in (*arguments, "--cores", self.cores, *fixed)]

    def output(self, *arguments: str, code: int = 0) -> str:
        """What Snakemake prints; it must end with `code`."""
        return printed("snakemake", *self.arguments(*arguments), code=code)

    def snakemake(self, *arguments: str) -> dict[str, int]:
        """Run Snakemake; gives the number of jobs of each rule (without targets such as `all`)."""
        return jobs_of(self.output(*arguments))

    @property
    def layout(self) -> Layout:
        return Layout(parse_settings(self.content))

    @property
    def store(self) -> Path:
        return self.folder / self.layout.features("tiny")

    @property
    def images(self) -> set[bytes]:
        """Contents of all frames; equal frames count once."""
        return {path.read_bytes() for path in (self.folder / "source" / "fire_frames").rglob("*.png")}

    def encoded(self) -> dict[str, int]:
        """Records that the extraction jobs of the last run sent through the backbone."""
        shards = self.layout.settings.shards
        manifests = [json.loads((self.store / ".plan" / f"shard-{n}.json").read_text()) for n in range(shards)]
        return {axis: sum(m[f"encoded_{axis}"] for m in manifests) for axis in ("frame", "terrain")}


def printed(program: str, *arguments: str | Path, code: int = 0, cwd: Path | None = None, path: str = "") -> str:
    """What `snakemake` or `emberformer` prints; it must end with `code`. `path`: what stands first in PATH."""
    found = os.pathsep.join([*filter(None, [path]), str(Run.commands), os.environ["PATH"]])
    done = subprocess.run(
        [Run.commands / program, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        cwd=cwd,
        env=os.environ | {"PATH": found},
    )
    assert done.returncode == code, done.stdout[-6000:]
    return done.stdout


def jobs_of(output: str) -> dict[str, int]:
    """Snakemake's table of jobs; an empty one where there is nothing to be done."""
    if "Nothing to be done" in output:
        return {}
    table = re.search(r"^Job stats:\njob +count\n-+ +-+\n(.*?)^total ", output, re.MULTILINE | re.DOTALL)
    assert table, output[-6000:]
    rows = (line.split() for line in table[1].splitlines())
    return {rule: int(count) for rule, count in rows if rule not in TARGETS}
