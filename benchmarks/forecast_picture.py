"""The README's picture: a forecast of one test fire beside what burned, from a finished run.

    python -m benchmarks.forecast_picture FIRES_STORE FORECAST_STORE --lead 6 --out docs/forecast.png

The fire is neither the best nor the worst: its average precision of new fire is the median of the test fires. Of its
forecasts that saw a past, that one is shown before which most burned.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import is_color_like
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.patches import Patch
from sklearn.metrics import average_precision_score

from emberformer.data.fires import UNKNOWN, fire_rows, observed, open_fires
from emberformer.forecast_store import open_forecasts
from emberformer.geometry import HECTARE
from emberformer.report.cases import Case, Choice, growth, read_case
from emberformer.report.maps import draw_case, fuel_colours


def median_fire(fires: xr.Dataset, forecasts: xr.Dataset) -> Choice:
    """The test fire of median average precision of new fire, over all its forecasts of the only lead time."""
    lead = int(forecasts.lead.values[0])
    scores = {}
    for fire_id in sorted(set(forecasts.fire_id.values[forecasts.split.values == "test"])):
        told, burned = [], []
        for place in np.flatnonzero(forecasts.fire_id.values == fire_id):
            row = fire_rows(fires, fire_id).start + int(forecasts.init_step.values[place])
            if row + lead >= fire_rows(fires, fire_id).stop:
                continue
            later = observed(fires, row + lead)
            scored = (fires.burned[row].values == 0) & (later != UNKNOWN)
            told.append(forecasts.probability[place, 0].values[scored])
            burned.append(later[scored] == 1)
        if burned and np.concatenate(burned).any():
            scores[fire_id] = float(average_precision_score(np.concatenate(burned), np.concatenate(told)))
    chosen = sorted(scores, key=lambda fire_id: scores[fire_id])[(len(scores) - 1) // 2]
    return Choice("Median", str(forecasts.attrs["dataset"]), chosen, scores[chosen])


def step_shown(fires: xr.Dataset, forecasts: xr.Dataset, fire_id: str) -> int:
    """Newest frame of the forecast in whose time most burned, of those that saw more than one frame."""
    rows, lead = fire_rows(fires, fire_id), int(forecasts.lead.values[0])
    steps = forecasts.init_step.values[(forecasts.fire_id.values == fire_id) & (forecasts.history_length.values > 1)]
    steps = [int(step) for step in sorted(steps) if rows.start + step + lead < rows.stop]
    return max(steps, key=lambda step: growth(fires, rows.start + step, lead))


def draw(case: Case) -> Figure:
    """The report's four maps of a forecast in a row, with their titles and keys."""
    panels = draw_case(case, fuel_colours([case]))
    figure = Figure(figsize=(13, 4.25), dpi=110)
    FigureCanvasAgg(figure)
    maps = figure.subplots(
        1, len(panels), gridspec_kw={"left": 0, "right": 1, "bottom": 0.22, "top": 0.94, "wspace": 0.03}
    )
    for axes, panel in zip(maps, panels, strict=True):
        axes.imshow(imread(io.BytesIO(panel.picture.content), format="png"))
        axes.set_title(panel.title, fontsize=11)
        axes.set_axis_off()
        keys = [Patch(color=key.colour, label=key.text) for key in panel.keys if is_color_like(key.colour)]
        axes.legend(
            handles=keys,
            loc="upper center",
            bbox_to_anchor=(0.5, 0),
            ncols=1 if len(keys) < 3 else 2,
            fontsize=8,
            frameon=False,
        )
    return figure


def main() -> None:
    """Draw the picture, and say what it shows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fires", type=Path, help="fires store")
    parser.add_argument("forecasts", type=Path, help="forecast store of the network")
    parser.add_argument("--lead", type=int, default=1, help="frames ahead")
    parser.add_argument(
        "--threshold", type=float, default=0.5, help="probability from which on a pixel is called burned"
    )
    parser.add_argument("--out", type=Path, required=True, help="PNG to write")
    told = parser.parse_args()
    fires, forecasts = open_fires(told.fires), open_forecasts(told.forecasts).sel(lead=[told.lead])
    choice = median_fire(fires, forecasts)
    case = read_case(choice, fires, forecasts, told.threshold, step=step_shown(fires, forecasts, choice.fire_id))
    draw(case).savefig(told.out, metadata={"Software": None})
    hours, area = case.step_s / 3600, case.cell_m**2 / HECTARE
    burned = {name: np.count_nonzero(places) * area for name, places in case.outcomes.items()}
    print(f"{told.out}: {choice.fire_id} of {choice.dataset}, {hours:g} hours ahead of frame {case.step + 1},")
    print(
        f"average precision of the fire {choice.average_precision:.3f};",
        *(f"{k} {v:.0f} ha" for k, v in burned.items()),
    )


if __name__ == "__main__":
    main()
