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
    Case("activation", lambda L: L.Activation("gelu"), [t("time", 3, mask=True)]),
    Case("identity", lambda L: L.Identity(), [t("time", 3, mask=True)]),
    Case("masking", lambda L: L.Masking(), [t("time", 1, kind="float32 2")]),
    Case("masking value", lambda L: L.Masking(2.0), [t("time", 1, kind="float32 3", mask=True)]),
    Case("embedding", lambda L: L.Embedding(7, 4), [t("time", kind="int32 7")]),
    Case(
        "embedding of floats",
        lambda L: L.Embedding(7, 4, mask_zero=True),
        [t("time", kind="float32 7")],
    ),
    Case(
        "embedding mask",
        lambda L: L.Embedding(7, 4, mask_zero=True, embeddings_regularizer="l2"),
        [t("time", 2, kind="int32 7")],
    ),
]
