"""Cases of the activation layers."""

from __future__ import annotations

from cases import Case, t

ROWS = [
    Case("relu", lambda L: L.ReLU(), [t("time", 3, mask=True)]),
    Case("relu options", lambda L: L.ReLU(1.0, 0.2, 0.1), [t("time", 3)]),
    Case("leaky_relu", lambda L: L.LeakyReLU(), [t(4)]),
    Case("elu", lambda L: L.ELU(0.5), [t(4)]),
    Case("prelu", lambda L: L.PReLU(), [t(4, 3)]),
    Case(
        "prelu shared",
        lambda L: L.PReLU(alpha_regularizer="l1", shared_axes=(1, 2)),
        [t("rows", "columns", 3)],
    ),
    Case("softmax", lambda L: L.Softmax(), [t("time", 3)]),
    Case("softmax axis", lambda L: L.Softmax(axis=1), [t("time", 3)]),
    Case("softmax axes", lambda L: L.Softmax(axis=[1, 2]), [t("time", 3)]),
    Case("softmax mask", lambda L: L.Softmax(), [t("time", mask=True)]),
    Case("softmax mask argument", lambda L: L.Softmax(), [t("time", 3), t("time", 3, kind="bool")],
         keywords=("mask",)),
]  # fmt: skip
