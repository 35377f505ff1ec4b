"""A Kubernetes of one node, for tests: `kubectl` runs the command of a job's container, and keeps its manifest."""

from __future__ import annotations

import json
import sys
from pathlib import Path

KUBECTL = """
import json, subprocess, sys
from pathlib import Path

folder, (verb, *words) = Path(__file__).parent, sys.argv[1:]
if verb == "create":
    job = json.load(sys.stdin)
    (container,) = job["spec"]["template"]["spec"]["containers"]
    done = subprocess.run(
        container["command"], cwd=container["workingDir"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    name = job["metadata"]["generateName"] + str(len(list(folder.glob("*.json"))))
    state = "Failed" if done.returncode else "Complete"
    job |= {"status": {"conditions": [{"type": state, "status": "True"}]}, "printed": done.stdout}
    (folder / f"{name}.json").write_text(json.dumps(job))
    print(f"job.batch/{name}")
elif verb == "get":
    print((folder / words[0].removeprefix("job.batch/")).with_suffix(".json").read_text())
elif verb == "delete":
    for name in words:
        if not name.startswith("--"):
            (folder / name.removeprefix("job.batch/")).with_suffix(".json").unlink()
else:
    sys.exit(f"kubectl {verb}")
"""


def install_kubernetes(folder: Path) -> None:
    """Write `kubectl` into a folder that is to stand first in PATH."""
    folder.mkdir()
    path = folder / "kubectl"
    path.write_text(f"#!{sys.executable}\n{KUBECTL}")
    path.chmod(0o755)


def submitted_to_kubernetes(folder: Path) -> dict[str, dict]:
    """Specification of the container for each rule; all jobs must have succeeded."""
    jobs = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    assert all(job["status"]["conditions"][0]["type"] == "Complete" for job in jobs), jobs[-1]["printed"]
    return {job["metadata"]["labels"]["rule"]: job["spec"]["template"]["spec"]["containers"][0] for job in jobs}
