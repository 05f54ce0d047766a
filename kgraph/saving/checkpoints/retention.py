"""Which steps stay. Pure functions of what is there."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from kgraph.errors import ConfigError, check_choice

_FALLS = re.compile(
    r"(.*_)?(loss|error|mse|mae|mape|msle|rmse|perplexity|divergence|crossentropy|hinge|poisson)"
)
_RISES = re.compile(
    r"(.*_)?(acc|accuracy|auc|precision|recall|f1|fbeta|f_beta|f1_score|fbeta_score|score|iou"
    r"|mean_io_u|similarity|r2|r2_score|specificity|sensitivity)"
)


def rises(best: str | None, mode: str) -> bool:
    """Returns whether the best value of the metric `best` is the highest.

    Raises:
        ConfigError: `mode` is unknown, or "auto" for a name that does not say.
    """
    check_choice("Checkpoint", "mode", mode, ("auto", "min", "max"))
    if mode != "auto" or best is None:
        return mode == "max"
    if _FALLS.fullmatch(best):
        return False
    if _RISES.fullmatch(best):
        return True
    raise ConfigError(
        f"Checkpoint cannot tell whether {best!r} should rise or fall",
        expected="mode='min' or mode='max'",
        received="mode='auto' and a name that does not say it",
    )


def best_of(values: Mapping[int, float], higher: bool) -> int | None:
    """Returns the step with the best value, the first of equals; NaN is never the best."""
    known = {step: value for step, value in sorted(values.items()) if not math.isnan(value)}
    if not known:
        return None
    return max(known, key=known.__getitem__) if higher else min(known, key=known.__getitem__)


def superfluous(steps: Sequence[int], keep: int | None, best: int | None) -> list[int]:
    """Returns the steps that may go: all but the `keep` highest and the best.

    >>> superfluous([1, 2, 3, 4, 5], keep=2, best=1)
    [2, 3]
    """
    if keep is None:
        return []
    return [step for step in sorted(steps)[:-keep] if step != best]
