"""Cases of the pooling layers."""

from __future__ import annotations

from cases import Case, t

FIRST = "channels_first"

ROWS = [
    Case("max_pooling1d", lambda L: L.MaxPooling1D(), [t("time", 3)]),
    Case("max_pooling1d same", lambda L: L.MaxPooling1D(3, 2, "same"), [t("time", 3)]),
    Case("max_pooling2d", lambda L: L.MaxPooling2D(), [t("rows", "columns", 3)]),
    Case(
        "max_pooling2d overlapping first",
        lambda L: L.MaxPooling2D((3, 2), (1, 2), data_format=FIRST),
        [t(3, "rows", 5)],
    ),
    Case("max_pooling2d ties", lambda L: L.MaxPool2D(2, 1), [t(5, 4, 3, kind="float32 2")]),
    Case("max_pooling3d", lambda L: L.MaxPooling3D(2, 1, "same"), [t(3, "rows", 4, 2)]),
    Case("average_pooling1d", lambda L: L.AveragePooling1D(2), [t("time", 3)]),
    Case("average_pooling1d same", lambda L: L.AvgPool1D(3, 2, "same"), [t("time", 3)]),
    Case(
        "average_pooling2d same",
        lambda L: L.AveragePooling2D((3, 2), 2, "same"),
        [t("rows", "columns", 3)],
    ),
    Case(
        "average_pooling2d same first",
        lambda L: L.AveragePooling2D(3, padding="same", data_format=FIRST),
        [t(3, 5, 4)],
    ),
    Case("average_pooling3d", lambda L: L.AveragePooling3D(2, 1), [t(3, "rows", 4, 2)]),
    Case("global_max_pooling1d", lambda L: L.GlobalMaxPooling1D(), [t("time", 3)]),
    Case(
        "global_max_pooling2d first",
        lambda L: L.GlobalMaxPool2D(data_format=FIRST, keepdims=True),
        [t(3, "rows", "columns")],
    ),
    Case("global_max_pooling3d", lambda L: L.GlobalMaxPooling3D(), [t(2, 3, "columns", 3)]),
    Case("global_average_pooling1d", lambda L: L.GlobalAveragePooling1D(), [t("time", 3)]),
    Case(
        "global_average_pooling1d mask",
        lambda L: L.GlobalAveragePooling1D(),
        [t("time", 3, mask=True)],
    ),
    Case(
        "global_average_pooling1d mask first",
        lambda L: L.GlobalAvgPool1D(FIRST, keepdims=True),
        [t(5, 5, mask=True)],
    ),
    Case(
        "global_average_pooling2d",
        lambda L: L.GlobalAveragePooling2D(keepdims=True),
        [t("rows", "columns", 3)],
    ),
    Case(
        "global_average_pooling3d first",
        lambda L: L.GlobalAveragePooling3D(data_format=FIRST),
        [t(3, 2, "rows", 4)],
    ),
    Case("adaptive_max_pooling1d", lambda L: L.AdaptiveMaxPooling1D(3), [t(8, 3)]),
    Case("adaptive_average_pooling1d", lambda L: L.AdaptiveAveragePooling1D(5), [t(8, 3)]),
    Case(
        "adaptive_max_pooling2d first",
        lambda L: L.AdaptiveMaxPooling2D((2, 3), data_format=FIRST),
        [t(3, 5, 6)],
    ),
    Case("adaptive_average_pooling2d", lambda L: L.AdaptiveAveragePooling2D((4, 2)), [t(3, 7, 2)]),
    Case("adaptive_max_pooling3d", lambda L: L.AdaptiveMaxPooling3D(2), [t(3, 4, 5, 2)]),
    Case(
        "adaptive_average_pooling3d first",
        lambda L: L.AdaptiveAveragePooling3D((1, 2, 3), FIRST),
        [t(2, 3, 3, 4)],
    ),
    Case(
        "adaptive_average_pooling2d unknown",
        lambda L: L.AdaptiveAveragePooling2D(3),
        [t("rows", "columns", 2)],
        keras=False,
        reason="Keras needs the sizes; test_pooling.py compares what it gives",
    ),
]
