"""What is to be forecast: the meaning of the source's isochrones, as it was measured while they were read."""

from __future__ import annotations

import xarray as xr

from emberformer.checks.finding import Finding
from emberformer.data.isochrones import AREA, RING

MEANING = {
    "same_as_burned": "the next burned area",
    "cumulative": "an area of the source's own that holds the current fire",
    "increment": "the next burned area; the source's own rings are only what is new",
}


def check_target(fires: xr.Dataset) -> list[Finding]:
    """Target kind with the share of the current fire inside the target, and fires that the reader left out."""
    kind, shares = fires.attrs["target_kind"], fires.attrs.get("isochrone_check") or {}
    inside = shares.get("current_fire_inside_target")
    said = f"{kind}: {MEANING[kind]}"
    if inside is not None:
        said += f"; {100 * inside:.1f} % of the current fire lie inside the source's target"
    doubtful = kind != "same_as_burned" and inside is not None and RING < inside < AREA
    findings = [
        Finding(
            "WARNING" if doubtful else "OK",
            "target",
            said,
            "neither an area nor a ring: look at some isochrones, or set isochrones: false" if doubtful else "",
            {"target_kind": kind, **shares},
        )
    ]
    skipped = fires.attrs.get("fires_skipped") or []
    if skipped:
        first = skipped[0]
        said = f"{len(skipped)} fires are not in the store, such as {first['fire_id']}: {first['reason']}"
        findings.append(Finding("WARNING", "left out", said, "mend their files and run `emberformer ingest` again"))
    return findings
