"""LayoutMap: layouts by regular expressions for the paths of weights and outputs."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

from kgraph.distribution.layout import TensorLayout
from kgraph.distribution.mesh import DeviceMesh
from kgraph.errors import ConfigError
from kgraph.patterns import compiled, key_of


class LayoutMap(MutableMapping[str, Any]):
    """Says by path how arrays are spread over a mesh.

    A key is a regular expression that has to match the whole path of a weight
    (`"attn/query/kernel"`; that which files keep it under will do as well), or a layer's path with
    `/output` behind it, for what the layer returns. A path that two keys match is an error; one
    that is itself a key needs no match. A key that matches nothing is an error when a model is
    compiled, unless it was given to `optional`.

    Args:
        device_mesh: of the layouts that have none.

    >>> mesh = DeviceMesh((1, 1), ("batch", "model"), ["cpu:0"])
    >>> layouts = LayoutMap(mesh)
    >>> layouts[".*/kernel"] = (None, "model")
    >>> layouts["head/kernel"].axes
    (None, 'model')
    """

    def __init__(self, device_mesh: DeviceMesh | None) -> None:
        self._layouts: dict[str, TensorLayout] = {}
        self._optional: set[str] = set()
        self._device_mesh = device_mesh

    @property
    def device_mesh(self) -> DeviceMesh | None:
        """The mesh of the layouts."""
        return self._device_mesh

    def key_of(self, path: str) -> str | None:
        """Returns the key that a path belongs to, or None.

        Raises:
            ConfigError: several keys match the path.
        """
        return key_of(path, self._layouts, "LayoutMap")

    def __getitem__(self, key: str) -> TensorLayout | None:
        found = self.key_of(key)
        return None if found is None else self._layouts[found]

    def __setitem__(self, key: str, layout: Any) -> None:
        if key in self._layouts:
            raise ConfigError(
                f"The LayoutMap has {key!r} already", received=repr(self._layouts[key])
            )
        compiled(key)  # raises for what is neither a path nor an expression
        if isinstance(layout, (tuple, list)):
            layout = TensorLayout(layout)
        if not isinstance(layout, TensorLayout):
            raise ConfigError(
                f"The layout of {key!r} is none", expected="a tuple of axes, or a TensorLayout",
                received=repr(layout),
            )  # fmt: skip
        if layout.device_mesh is None and self._device_mesh is not None:
            layout.device_mesh = self._device_mesh
        self._layouts[key] = layout

    def optional(self, key: str, layout: Any) -> None:
        """Sets the layout of a key that may match nothing, for rules that several models share."""
        self[key] = layout
        self._optional.add(key)

    def needed(self) -> tuple[str, ...]:
        """Returns the keys that have to match something."""
        return tuple(key for key in self._layouts if key not in self._optional)

    def __delitem__(self, key: str) -> None:
        del self._layouts[key]
        self._optional.discard(key)

    def __len__(self) -> int:
        return len(self._layouts)

    def __iter__(self) -> Iterator[str]:
        return iter(self._layouts)
