"""Cases of the reshaping layers."""

from __future__ import annotations

from cases import Case, t

ROWS = [
    Case("flatten", lambda L: L.Flatten(), [t("time", 3, 2)]),
    Case("flatten channels_first", lambda L: L.Flatten("channels_first"), [t(2, 3, 4)]),
    Case("flatten vector", lambda L: L.Flatten(), [t()]),
    Case("reshape", lambda L: L.Reshape((3, 4)), [t(2, 6)]),
    Case("reshape free", lambda L: L.Reshape((-1, 2)), [t(4, 3)]),
    Case("reshape free unknown", lambda L: L.Reshape((-1, 2)), [t("time", 6)]),
    Case("permute", lambda L: L.Permute((3, 1, 2)), [t("rows", "columns", 3)]),
    Case("repeat_vector", lambda L: L.RepeatVector(4), [t(3)]),
    Case("cropping1d", lambda L: L.Cropping1D((1, 2)), [t("time", 3)]),
    Case("cropping1d int", lambda L: L.Cropping1D(1), [t(5, 3)]),
    Case("cropping2d", lambda L: L.Cropping2D(((1, 0), (0, 2))), [t("rows", "columns", 2)]),
    Case(
        "cropping2d channels_first",
        lambda L: L.Cropping2D((1, 2), data_format="channels_first"),
        [t(2, 4, 6)],
    ),
    Case("cropping3d", lambda L: L.Cropping3D(), [t(4, "rows", 3, 2)]),
    Case("zero_padding1d", lambda L: L.ZeroPadding1D((0, 2)), [t("time", 3)]),
    Case("zero_padding2d", lambda L: L.ZeroPadding2D(((1, 0), (0, 2))), [t("rows", 3, 2)]),
    Case(
        "zero_padding2d channels_first",
        lambda L: L.ZeroPadding2D((1, 2), data_format="channels_first"),
        [t(2, "rows", 3)],
    ),
    Case("zero_padding3d", lambda L: L.ZeroPadding3D(1), [t(2, "rows", 3, 2)]),
    Case("up_sampling1d", lambda L: L.UpSampling1D(3), [t("time", 3)]),
    Case("up_sampling2d", lambda L: L.UpSampling2D((2, 3)), [t("rows", "columns", 2)]),
    Case(
        "up_sampling2d channels_first",
        lambda L: L.UpSampling2D(2, data_format="channels_first"),
        [t(2, "rows", 3)],
    ),
    *(
        Case(
            f"up_sampling2d {method}",
            lambda L, method=method: L.UpSampling2D((2, 3), interpolation=method),
            [t("rows", 4, 2)],
        )
        for method in ("bilinear", "bicubic", "lanczos3", "lanczos5")
    ),
    Case(
        "up_sampling2d bilinear channels_first",
        lambda L: L.UpSampling2D(2, "channels_first", "bilinear"),
        [t(2, 3, 4)],
    ),
    Case("up_sampling3d", lambda L: L.UpSampling3D((1, 2, 3)), [t(2, "rows", 2, 2)]),
]
