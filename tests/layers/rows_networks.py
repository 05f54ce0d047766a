"""Cases of the layers of single networks: Keras keeps its own beside these networks."""

from __future__ import annotations

from cases import Case, t

ROWS = [
    Case("branch_scale", lambda L: L.BranchScale(0.5, 3), [t("rows", 4, 3)], keras=False),
    Case("branch_dropout", lambda L: L.BranchDropout(0.4), [t("time", 3, mask=True)],
         training=True, random=True, keras=False),
    Case("scaled_add", lambda L: L.ScaledAdd(0.2), [t("rows", 3), t("rows", 3)],
         as_list=True, keras=False),
]  # fmt: skip
