"""Cases of the layers that act in training."""

from __future__ import annotations

from cases import Case, t

ROWS = [
    Case("dropout", lambda L: L.Dropout(0.4), [t("time", 3, mask=True)],
         training=True, random=True),
    Case("dropout of nothing", lambda L: L.Dropout(0.0), [t("time", 3)], training=True),
    Case("dropout of everything", lambda L: L.Dropout(1.0), [t("time", 3)]),
    Case("dropout noise_shape", lambda L: L.Dropout(0.4, noise_shape=(None, 1, 3)),
         [t("time", 3)], training=True, random=True),
    Case("spatial_dropout1d", lambda L: L.SpatialDropout1D(0.5), [t("time", 8)],
         training=True, random=True),
    Case("spatial_dropout2d", lambda L: L.SpatialDropout2D(0.5, data_format="channels_first"),
         [t(8, "rows", 3)], training=True, random=True),
    Case("spatial_dropout3d", lambda L: L.SpatialDropout3D(0.5), [t("rows", 3, 2, 8)],
         training=True, random=True),
    Case("gaussian_noise", lambda L: L.GaussianNoise(0.5), [t("time", 3)],
         training=True, random=True),
    Case("gaussian_dropout", lambda L: L.GaussianDropout(0.4), [t("time", 3)],
         training=True, random=True),
    Case("alpha_dropout", lambda L: L.AlphaDropout(0.4), [t("time", 3)],
         training=True, random=True),
    Case("activity_regularization", lambda L: L.ActivityRegularization(0.1, 0.2),
         [t("time", 3, mask=True)]),
]  # fmt: skip
