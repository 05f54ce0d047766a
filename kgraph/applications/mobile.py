"""What networks for small devices share: paddings and widths in steps of eight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kgraph import layers

if TYPE_CHECKING:
    pass


def padding_for_stride(x: Any, kernel: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Returns the zeros before and after rows and columns that the published weights expect.

    They put an even image's odd zero behind it.
    """
    half = kernel // 2
    before = [half - 1 if size is None or size % 2 == 0 else half for size in x.shape[1:3]]
    return (before[0], half), (before[1], half)


def width_in_eights(width: float) -> int:
    """Returns the nearest multiple of 8, but not less than 90 % of what was asked for."""
    rounded = max(8, int(width + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * width else rounded + 8


def relu6(x: Any, name: str) -> Any:
    """Cuts at 0 and 6."""
    return layers.ReLU(6.0, name=name)(x)
