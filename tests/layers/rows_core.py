"""Cases of the core layers."""

from __future__ import annotations

from cases import Case, t

ROWS = [
    Case("dense relu", lambda L: L.Dense(4, activation="relu"), [t(3)]),
    Case(
        "dense sequence",
        lambda L: L.Dense(4, "tanh", kernel_regularizer="l2", activity_regularizer="l1"),
        [t("time", 3, mask=True)],
    ),
    Case("dense without bias", lambda L: L.Dense(4, use_bias=False), [t("columns", "rows", 3)]),
]
