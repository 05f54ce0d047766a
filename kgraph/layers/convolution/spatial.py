"""What all layers over windows share: where the spatial axes are, and whether a window fits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, TypeAlias, Unpack

from kgraph import config
from kgraph.checks import check_count
from kgraph.errors import ConfigError, GraphError, check_choice
from kgraph.layers.base import InputSpec, Layer
from kgraph.layers.base.core import label_of
from kgraph.layers.base.options import LayerOptions
from kgraph.types import Array

Sizes: TypeAlias = int | Sequence[int]
"""One number for each spatial axis, or a single number for all of them."""

DataFormat: TypeAlias = Literal["channels_last", "channels_first"]


class _SpatialLayer(Layer):
    """Base of layers on `[batch, *spatial, channels]` or `[batch, channels, *spatial]`.

    Args:
        data_format: which of the two layouts; by default `kgraph.config.image_data_format()`.

    Attributes:
        rank: number of spatial axes.
    """

    rank: ClassVar[int]

    def __init__(
        self, data_format: DataFormat | None = None, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**options)
        layout = data_format or config.image_data_format()
        check_choice(label_of(self), "data_format", layout, ("channels_last", "channels_first"))
        self.data_format = layout
        self.input_spec = InputSpec(ndim=self.rank + 2)

    @property
    def channel_axis(self) -> int:
        """The axis of the channels."""
        return -1 if self.data_format == "channels_last" else 1

    @property
    def spatial_axes(self) -> tuple[int, ...]:
        """The axes between batch and channels, or after them."""
        first = 1 if self.data_format == "channels_last" else 2
        return tuple(range(first, first + self.rank))

    def over_all_axes(self, sizes: Sequence[int]) -> tuple[int, ...]:
        """Returns spatial sizes with ones for batch and channels."""
        if self.data_format == "channels_last":
            return (1, *sizes, 1)
        return (1, 1, *sizes)

    def per_axis(self, option: str, value: Sizes, least: int = 1) -> tuple[int, ...]:
        """Returns an option as one whole number for each spatial axis.

        Raises:
            ConfigError: there are more or fewer, or one is not a number of at least `least`.
        """
        sizes = value if isinstance(value, (list, tuple)) else (value,) * self.rank
        if len(sizes) != self.rank:
            raise ConfigError(
                f"{label_of(self)} cannot have this value of `{option}`",
                expected=f"one number, or one for each of {self.rank} axes",
                received=repr(value),
            )
        return tuple(check_count(label_of(self), option, size, least) for size in sizes)

    def check_padding(self, padding: str, choices: Sequence[str] = ("valid", "same")) -> str:
        """Returns `padding` in small letters, or raises ConfigError if it is none of `choices`."""
        name = padding.lower() if isinstance(padding, str) else padding
        check_choice(label_of(self), "padding", name, choices)
        return name

    def check_window_fits(self, inputs: Array, window: Sequence[int], what: str) -> None:
        """Raises GraphError if the input is smaller than a window, so that no output is left.

        Args:
            window: size along each spatial axis, gaps of a dilation counted.
            what: the window in messages, with the options that make its size.
        """
        sizes = [inputs.shape[axis] for axis in self.spatial_axes]
        if any(isinstance(n, int) and n < k for n, k in zip(sizes, window)):
            raise GraphError(
                f"{label_of(self)} would have an empty output: its input is smaller than {what}",
                expected=f"at least {_product(window)}",
                received=_product(sizes),
                hint='padding="same", a smaller window, or less striding and pooling before',
            )

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor arguments, the layout as it was resolved."""
        return {**super().get_config(), "data_format": self.data_format}


def _product(sizes: Sequence[Any]) -> str:
    return " x ".join(str(size) for size in sizes)
