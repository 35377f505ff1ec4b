"""A Slurm of one node, for tests: the commands that Snakemake's plugin calls, and a diary of what was submitted.

`sbatch` runs a job to its end before it returns, as its own process; the diary keeps the words of each call.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

SBATCH = """
import json, os, subprocess, sys
from pathlib import Path

folder, words = Path(__file__).parent, sys.argv[1:]
number = len(list(folder.glob("job-*.json"))) + 1
(command,) = [word.removeprefix("--wrap=") for word in words if word.startswith("--wrap=")]
variables = os.environ | {"SLURM_JOB_ID": str(number), "SLURM_JOBID": str(number)}
done = subprocess.run(
    command, shell=True, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    cwd=words[words.index("-D") + 1],
)
state = "COMPLETED" if done.returncode == 0 else "FAILED"
(folder / f"job-{number}.json").write_text(json.dumps({"words": words, "state": state, "printed": done.stdout}))
print(number)
"""
# The options of srun end where the command of the job begins.
SRUN = """
import os, sys

words = sys.argv[1:]
begin = next(n for n, word in enumerate(words) if not word.startswith("-"))
os.execvp(words[begin], words[begin:])
"""
SACCT = """
import json
from pathlib import Path

for path in Path(__file__).parent.glob("job-*.json"):
    print(path.stem.removeprefix("job-"), json.loads(path.read_text())["state"], sep="|")
"""


def install_slurm(folder: Path) -> None:
    """Write the commands into a folder that is to stand first in PATH; most of them say nothing."""
    folder.mkdir()
    commands = {"sbatch": SBATCH, "srun": SRUN, "sacct": SACCT}
    for name in ("sbatch", "srun", "sacct", "squeue", "scancel", "scontrol", "sinfo", "sacctmgr", "sshare"):
        path = folder / name
        path.write_text(f"#!{sys.executable}\n{commands.get(name, '')}")
        path.chmod(0o755)


def submitted_to_slurm(folder: Path) -> dict[str, list[str]]:
    """Options of sbatch for each rule; all jobs must have succeeded."""
    jobs = [json.loads(path.read_text()) for path in sorted(folder.glob("job-*.json"))]
    assert all(job["state"] == "COMPLETED" for job in jobs), jobs[-1]["printed"]
    rules = [job["words"][job["words"].index("--comment") + 1].split("_wildcards_")[0] for job in jobs]
    return {rule.removeprefix("rule_"): job["words"] for rule, job in zip(rules, jobs, strict=True)}
