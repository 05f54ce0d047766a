"""Cases of the normalisation layers."""

from __future__ import annotations

from cases import Case, t

PENALTIES = {"gamma_regularizer": "l2", "beta_regularizer": "l1"}

ROWS = [
    Case("batch_normalization", lambda L: L.BatchNormalization(), [t("rows", 4, 3)]),
    Case(
        "batch_normalization training",
        lambda L: L.BatchNormalization(momentum=0.9),
        [t("rows", 4, 3)],
        training=True,
    ),
    Case(
        "batch_normalization training vectors",
        lambda L: L.BatchNormalization(epsilon=1e-2, **PENALTIES),
        [t(6)],
        training=True,
    ),
    Case(
        "batch_normalization training mask",
        lambda L: L.BatchNormalization(momentum=0.7),
        [t("time", 3, mask=True)],
        training=True,
    ),
    Case(
        "batch_normalization inference mask",
        lambda L: L.BatchNormalization(),
        [t("time", 3, mask=True)],
    ),
    Case(
        "batch_normalization frozen in training",
        lambda L: L.BatchNormalization(trainable=False),
        [t("time", 3)],
        training=True,
    ),
    Case(
        "batch_normalization channels first",
        lambda L: L.BatchNormalization(axis=1, center=False),
        [t(3, "rows", 4)],
        training=True,
    ),
    Case(
        "batch_normalization bare",
        lambda L: L.BatchNormalization(center=False, scale=False),
        [t("rows", 3)],
        training=True,
    ),
    Case(
        "batch_normalization initial state",
        lambda L: L.BatchNormalization(
            moving_mean_initializer="ones", moving_variance_initializer="zeros"
        ),
        [t("rows", 3)],
        training=True,
    ),
    Case(
        "batch_normalization renorm",
        lambda L: L.BatchNormalization(renorm=True, renorm_momentum=0.8, **PENALTIES),
        [t("rows", 4, 3)],
        training=True,
    ),
    Case(
        "batch_normalization renorm clipped",
        lambda L: L.BatchNormalization(
            momentum=0.7,
            scale=False,
            renorm=True,
            renorm_clipping={"rmin": 0.8, "rmax": 1.1, "dmax": 0.2},
        ),
        [t("rows", 3)],
        training=True,
    ),
    Case(
        "batch_normalization renorm inference",
        lambda L: L.BatchNormalization(renorm=True, center=False),
        [t("rows", 3)],
    ),
    Case("layer_normalization", lambda L: L.LayerNormalization(), [t("time", 6, mask=True)]),
    Case(
        "layer_normalization two axes",
        lambda L: L.LayerNormalization(axis=[-1, -2], **PENALTIES),
        [t("rows", 4, 3)],
    ),
    Case(
        "layer_normalization inner axis",
        lambda L: L.LayerNormalization(axis=1, epsilon=1e-2),
        [t(4, "columns")],
    ),
    Case(
        "layer_normalization without weights",
        lambda L: L.LayerNormalization(center=False, scale=False),
        [t(6)],
    ),
    Case("group_normalization", lambda L: L.GroupNormalization(2), [t("rows", 5, 4)]),
    Case(
        "group_normalization mask",
        lambda L: L.GroupNormalization(3, **PENALTIES),
        [t("time", 6, mask=True)],
    ),
    Case(
        "group_normalization channels first",
        lambda L: L.GroupNormalization(2, axis=1, scale=False),
        [t(4, "rows", 3)],
    ),
    Case("group_normalization instance", lambda L: L.GroupNormalization(-1), [t(3, 4, 2)]),
    Case("group_normalization vectors", lambda L: L.GroupNormalization(2), [t(6)]),
    Case("rms_normalization", lambda L: L.RMSNormalization(), [t("time", 6)]),
    Case(
        "rms_normalization two axes",
        lambda L: L.RMSNormalization(axis=[-2, -1], epsilon=1e-2),
        [t("rows", 4, 3)],
    ),
    Case(
        "spectral_normalization dense",
        lambda L: L.SpectralNormalization(L.Dense(4, bias_regularizer="l2")),
        [t("rows", 3)],
        training=True,
        reason="in training only: at inference Keras does not divide on the JAX backend",
    ),
    Case(
        "spectral_normalization conv2d",
        lambda L: L.SpectralNormalization(L.Conv2D(4, 2, use_bias=False), power_iterations=3),
        [t(4, "columns", 3)],
        training=True,
        reason="in training only: see above",
    ),
    Case("unit_normalization", lambda L: L.UnitNormalization(), [t("time", 6, mask=True)]),
    Case(
        "unit_normalization two axes",
        lambda L: L.UnitNormalization(axis=[1, 2]),
        [t("rows", 4, 3)],
    ),
]
