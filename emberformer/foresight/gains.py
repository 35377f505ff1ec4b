"""What may be claimed of predictors: differences in error over the same resamples of fires.

A gain is claimed only against damped persistence: a predictor that knows nothing but how features shrink towards
their mean beats copying (X62). It is claimed where the whole 95 % interval over fires lies above zero; so is that the
wind helps, against the same network without it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from emberformer.foresight.clips import Clips
from emberformer.foresight.sums import SUMS, Pool, better_by, ratio, with_interval
from emberformer.settings import Settings

WITHOUT_WIND = "_no_wind"  # ends the name of a network that is told none
SCORES = {"mse": "squared", "cosine": "cosine", "cosine_centred": "centred", "mse_raw": "raw_squared"}


def prediction_table(
    clips: Clips, sums: pd.DataFrame, settings: Settings, names: Sequence[str], chosen: str
) -> pd.DataFrame:
    """Scores of one data set's test fires, with intervals over fires.

    Args:
        clips: the data set.
        sums: of `predict.score`, gaps rising.
        settings: the configuration.
        names: predictors in the order of the table.
        chosen: the trained predictor that validation chose.

    Returns:
        A row a predictor, gap and region: mse, cosine, cosine_centred, mse_raw; in percent of the other's squared
        error better_than_copy, better_than_damped and better_than_no_wind (NaN where there is no such network);
        more_than_first, how much better_than_damped is above that of the first gap, in percentage points; `gain` and
        `wind_helps`: yes where the whole interval of better_than_damped and better_than_no_wind lies above 0, no where
        it lies below, else undecided; `chosen`.
    """
    own = sums.loc[sums.fire.str.startswith(f"{clips.dataset}/")]
    pool = Pool(sorted(own.fire.unique()), settings.evaluation.replicates, settings.evaluation.seed)
    rows, first = [], {}
    for (gap, region), of in own.groupby(["gap", "region"], sort=False):
        totals = {name: pool.totals(of.loc[of.predictor == name], SUMS) for name in names}
        for name, total in totals.items():
            told = {"dataset": clips.dataset, "gap": gap, "seconds": int(gap) * clips.seconds, "region": region,  # type: ignore[arg-type]
                    "predictor": name, "chosen": name == chosen, "fires": len(pool.fires)}  # fmt: skip
            for score, column in SCORES.items():
                told |= with_interval(score, ratio(total[column], total["patches"]))
            still, none = name + WITHOUT_WIND, np.zeros(len(pool.weights))
            better = {
                rival: better_by(total["squared"], totals[rival]["squared"] if rival in totals else none)
                for rival in ("copy", "damped", still)
            }
            damped, wind = better["damped"], better[still]
            told |= with_interval("better_than_copy", better["copy"]) | with_interval("better_than_damped", damped)
            told |= with_interval("more_than_first", damped - first.setdefault((region, name), damped))
            told |= with_interval("better_than_no_wind", wind)
            told["gain"] = gain(told["better_than_damped_low"], told["better_than_damped_high"])
            told["wind_helps"] = gain(told["better_than_no_wind_low"], told["better_than_no_wind_high"])
            rows.append(told)
    return pd.DataFrame(rows)


def gain(low: float, high: float) -> str:
    """Whether an interval of a difference lies above 0; nothing where there is none.

    >>> gain(0.1, 2.0), gain(-2.0, -0.1), gain(-1.0, 1.0), gain(0.0, 0.0), gain(float("nan"), float("nan"))
    ('yes', 'no', 'undecided', 'undecided', '')
    """
    if np.isnan(low):
        return ""
    return "yes" if low > 0 else "no" if high < 0 else "undecided"
