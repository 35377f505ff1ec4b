"""One job of Snakemake as one job of Kubernetes, for the cluster-generic executor; `kubectl` does the talking.

    python job.py submit <rule> <cores> <mem_mb> <minutes> <gpus> <script>    prints the name of the job
    python job.py status <name>                                               prints running, success or failed
    python job.py cancel <name> ...

The folder in which Snakemake runs lies on a volume that all pods mount at the same path. EMBERFORMER_IMAGE is the image
of the pods, EMBERFORMER_CLAIM the claim of the volume, EMBERFORMER_MOUNT where it is mounted (by default /work).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

GPU = "nvidia.com/gpu"
PAUSES_S = (5, 15, 45)  # before a job's state is asked for again: without one the executor ends the workflow


def manifest(rule: str, cores: str, mem_mb: str, minutes: str, gpus: str, script: str) -> dict:
    """The job: GPUs are limits, which Kubernetes takes as requests too."""
    claim, mount = os.environ["EMBERFORMER_CLAIM"], os.environ.get("EMBERFORMER_MOUNT", "/work")
    limits = {"memory": f"{mem_mb}M"} | ({GPU: gpus} if gpus != "0" else {})
    container = {
        "name": "emberformer",
        "image": os.environ["EMBERFORMER_IMAGE"],
        "command": ["/bin/sh", script],
        "workingDir": os.getcwd(),
        "resources": {"requests": {"cpu": cores, "memory": f"{mem_mb}M"}, "limits": limits},
        "volumeMounts": [
            {"name": "work", "mountPath": mount},
            {"name": "shared-memory", "mountPath": "/dev/shm"},  # 64 MB without it: too little for worker processes
        ],
    }
    pod = {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": 60
        * int(minutes),  # from the pod's start: that of a job also counts its wait for a GPU
        "containers": [container],
        "volumes": [
            {"name": "work", "persistentVolumeClaim": {"claimName": claim}},
            {"name": "shared-memory", "emptyDir": {"medium": "Memory"}},
        ],
    }
    if gpus != "0":
        pod["tolerations"] = [{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}]
    name = f"emberformer-{rule.replace('_', '-')}-"
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"generateName": name, "labels": {"app": "emberformer", "rule": rule}},
        "spec": {
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": 86400,
            "template": {"metadata": {"labels": {"app": "emberformer"}}, "spec": pod},
        },
    }


def kubectl(*words: str, given: str | None = None) -> str:
    """What kubectl prints; its own message reaches the user when it fails."""
    done = subprocess.run(["kubectl", *words], input=given, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip()


def answer(*words: str) -> str:
    """What kubectl prints; a server that does not answer is asked again."""
    for pause_s in PAUSES_S:
        try:
            return kubectl(*words)
        except subprocess.CalledProcessError:
            time.sleep(pause_s)
    return kubectl(*words)


def status(name: str) -> str:
    """State of a job in the words of the executor."""
    conditions = json.loads(answer("get", name, "--output", "json"))["status"].get("conditions", [])
    states = {condition["type"] for condition in conditions if condition["status"] == "True"}
    return "success" if "Complete" in states else "failed" if "Failed" in states else "running"


def main(verb: str, *words: str) -> None:
    """Submit, ask or cancel."""
    if verb == "submit":
        print(kubectl("create", "--filename", "-", "--output", "name", given=json.dumps(manifest(*words))))
    elif verb == "status":
        print(status(*words))
    elif verb == "cancel":
        kubectl("delete", "--wait=false", *words)  # the executor waits 2 s for this
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(*sys.argv[1:])
