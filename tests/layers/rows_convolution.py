"""Cases of the convolutions."""

from __future__ import annotations

from cases import Case, t

LAST, FIRST = "channels_last", "channels_first"

ROWS = [
    Case("conv1d valid", lambda L: L.Conv1D(4, 3, activation="relu"), [t("time", 3)]),
    Case("conv1d same strides", lambda L: L.Conv1D(4, 3, 2, "same"), [t("time", 3)]),
    Case("conv1d dilation", lambda L: L.Conv1D(4, 2, dilation_rate=3), [t("time", 3)]),
    Case("conv1d causal", lambda L: L.Conv1D(4, 3, padding="causal"), [t("time", 3)]),
    Case("conv1d causal strides", lambda L: L.Conv1D(4, 3, 2, "causal"), [t("time", 3)]),
    Case(
        "conv1d causal dilation first",
        lambda L: L.Conv1D(4, 2, padding="causal", dilation_rate=2, data_format=FIRST),
        [t(3, "time")],
    ),
    Case("conv1d whole numbers", lambda L: L.Conv1D(4, 2), [t("time", 3, kind="int32 9")]),
    Case(
        "conv1d penalties",
        lambda L: L.Conv1D(
            4, 3, kernel_regularizer="l2", bias_regularizer="l1", activity_regularizer="l2"
        ),
        [t(7, 3)],
    ),
    Case("conv2d relu", lambda L: L.Conv2D(4, 3, activation="relu"), [t("rows", "columns", 3)]),
    Case(
        "conv2d same strides",
        lambda L: L.Conv2D(4, (3, 2), strides=(2, 3), padding="SAME"),
        [t("rows", "columns", 3)],
    ),
    Case("conv2d groups", lambda L: L.Conv2D(6, 3, groups=2, padding="same"), [t(5, 6, 4)]),
    Case("conv2d dilation", lambda L: L.Conv2D(4, 3, dilation_rate=(2, 1)), [t(7, 5, 3)]),
    Case(
        "conv2d first groups",
        lambda L: L.Conv2D(4, 3, 2, "same", data_format=FIRST, groups=2, activation="tanh"),
        [t(4, "rows", 6)],
    ),
    Case("conv2d without bias", lambda L: L.Conv2D(4, 1, use_bias=False), [t(3, 4, 3)]),
    Case("conv3d valid", lambda L: L.Conv3D(4, (1, 2, 3)), [t("depth", 4, 5, 2)]),
    Case(
        "conv3d same first", lambda L: L.Conv3D(2, 2, 2, "same", data_format=FIRST), [t(2, 4, 3, 5)]
    ),
    Case("conv1d_transpose valid", lambda L: L.Conv1DTranspose(4, 3, 2), [t("time", 3)]),
    Case("conv1d_transpose short kernel", lambda L: L.Conv1DTranspose(4, 2, 3), [t("time", 3)]),
    Case("conv1d_transpose same", lambda L: L.Conv1DTranspose(4, 3, 2, "same"), [t("time", 3)]),
    Case(
        "conv1d_transpose same even kernel",
        lambda L: L.Conv1DTranspose(4, 4, 3, "same", output_padding=2),
        [t("time", 3)],
    ),
    Case(
        "conv1d_transpose point kernel",
        lambda L: L.Conv1DTranspose(4, 1, 3, "same", use_bias=False),
        [t("time", 3)],
    ),
    Case(
        "conv1d_transpose valid output padding first",
        lambda L: L.Conv1DTranspose(4, 3, 2, output_padding=1, data_format=FIRST),
        [t(3, "time")],
    ),
    Case(
        "conv2d_transpose valid relu",
        lambda L: L.Conv2DTranspose(4, 3, activation="relu"),
        [t("rows", 4, 3)],
    ),
    Case(
        "conv2d_transpose same output padding",
        lambda L: L.Conv2DTranspose(4, 3, (2, 3), "same", output_padding=(1, 0)),
        [t(4, "columns", 3)],
    ),
    Case(
        "conv2d_transpose dilation",
        lambda L: L.Conv2DTranspose(4, 3, padding="same", dilation_rate=(2, 1)),
        [t(4, 5, 3)],
    ),
    Case(
        "conv2d_transpose dilation valid first",
        lambda L: L.Conv2DTranspose(4, (2, 3), dilation_rate=2, data_format=FIRST),
        [t(3, 4, 5)],
    ),
    Case("conv3d_transpose valid", lambda L: L.Conv3DTranspose(2, 2, 2), [t("depth", 3, 2, 3)]),
    Case(
        "conv3d_transpose positional options",
        lambda L: L.Conv3DTranspose(2, (1, 2, 3), 2, "same", FIRST, 1),
        [t(3, 2, 3, 2)],
    ),
    Case("depthwise_conv1d", lambda L: L.DepthwiseConv1D(3, 2, "same", 2), [t("time", 3)]),
    Case(
        "depthwise_conv2d",
        lambda L: L.DepthwiseConv2D(3, depth_multiplier=2, activation="relu"),
        [t("rows", 5, 3)],
    ),
    Case(
        "depthwise_conv2d dilation first",
        lambda L: L.DepthwiseConv2D((2, 3), dilation_rate=2, data_format=FIRST, use_bias=False),
        [t(3, 6, 6)],
    ),
    Case("separable_conv1d", lambda L: L.SeparableConv1D(4, 3, 2, "same"), [t("time", 3)]),
    Case(
        "separable_conv2d",
        lambda L: L.SeparableConv2D(4, 3, depth_multiplier=2, activation="relu"),
        [t("rows", 5, 3)],
    ),
    Case(
        "separable_conv2d dilation first",
        lambda L: L.SeparableConv2D(4, 3, padding="same", data_format=FIRST, dilation_rate=2),
        [t(3, 6, 5)],
    ),
]
