"""Pictures of what a model has learned, drawn by matplotlib: confusions, activations, filters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kgraph.compiler import lower
from kgraph.errors import ConfigError, DataError, nearest
from kgraph.graph import Node
from kgraph.layers.base.core import label_of
from kgraph.types import Array, ArrayLike, FilePath, Tree
from kgraph.visualization.figures import finished, pyplot

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kgraph.layers.base.layer import Layer
    from kgraph.models.model import Model

_MOST_WRITTEN = 20


def plot_confusion_matrix(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    labels: Sequence[str] | None = None,
    normalize: bool = False,
    path: FilePath | None = None,
) -> Figure:
    """Draws how often each class was taken for each other. Needs matplotlib.

    Args:
        y_true: class numbers, `[rows]` or `[rows, 1]`, or one-hot rows.
        y_pred: class numbers, or what a model has predicted, `[rows, classes]`; one number for each
            row, `[rows, 1]`, is a probability.
        labels: names of the classes.
        normalize: shows parts of each true class in the place of counts.
        path: a file to write the picture to as well.

    Raises:
        DataError: there is no row, or the numbers of rows or classes do not fit each other.
        ConfigError: matplotlib is not installed.
    """
    true, found = _classes(y_true, "y_true"), _classes(y_pred, "y_pred")
    if len(true) != len(found) or not len(true):
        raise DataError(
            "A confusion matrix needs a prediction for each label",
            expected=f"{len(true)} rows" if len(true) else "at least one row",
            received=f"{len(found)} rows",
        )
    count = int(max(true.max(), found.max())) + 1
    if labels is not None and len(labels) < count:
        raise DataError(
            "A class has no name", expected=f"{count} labels", received=f"{len(labels)} labels"
        )
    names = list(labels) if labels is not None else [str(i) for i in range(count)]
    matrix = np.zeros((len(names), len(names)))
    np.add.at(matrix, (true, found), 1)
    if normalize:
        matrix /= np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    size = min(2.5 + 0.5 * len(names), 12)
    figure, axis = pyplot().subplots(figsize=(size, size), layout="constrained")
    axis.imshow(matrix, cmap="Blues")
    axis.set(xlabel="predicted", ylabel="true")
    axis.set_xticks(range(len(names)), names, rotation=45 if max(map(len, names)) > 3 else 0)
    axis.set_yticks(range(len(names)), names)
    if len(names) <= _MOST_WRITTEN:
        for (row, column), value in np.ndenumerate(matrix):
            color = "white" if value > matrix.max() / 2 else "black"
            text = f"{value:.2f}" if normalize else f"{value:.0f}"
            axis.text(column, row, text, ha="center", va="center", color=color)
    return finished(figure, path)


def activations(
    model: Model,
    x: Tree,
    layers: Sequence[str] | None = None,
    most: int = 16,
    path: FilePath | None = None,
) -> Figure:
    """Draws what the layers of a model make of one example. Needs matplotlib.

    Args:
        model: a functional or Sequential model.
        x: its inputs; the first row is shown.
        layers: their names (in nested models `model/layer`); by default all with weights.
        most: channels of a layer that are shown at most; vectors are shown whole.
        path: a file to write the picture to as well.

    Raises:
        ConfigError: the model has no such layer, or matplotlib is not installed.
    """
    program = lower(model)
    outputs: dict[str, np.ndarray] = {}

    def keep(node: Node, made: list[Array]) -> None:
        outputs[node.name] = np.asarray(made[0][0])

    program.run(model.variables_for(program), x, observe=keep)
    named = program.flat_graph.layers
    names = [name for name in outputs if named[name.partition(":")[0]].weights]
    names = names if layers is None else list(layers)
    if not names:
        raise ConfigError(
            f"{label_of(model)} has no layer with weights to show",
            hint=f"layers=[...], of {', '.join(outputs)[:200]}",
        )
    for name in names:
        if name not in outputs:
            raise ConfigError(f"The model computes no {name!r}", hint=nearest(name, outputs))
    return _rows({name: _channels(outputs[name], most) for name in names}, path)


def filters(layer: Layer, most: int = 64, path: FilePath | None = None) -> Figure:
    """Draws the filters of a convolution: in colour with three channels, else of the first one.

    Args:
        layer: built, with a kernel `[height, width, channels, filters]`.
        most: filters that are shown at most.
        path: a file to write the picture to as well. Needs matplotlib.

    Raises:
        ConfigError: the layer has no such kernel, or matplotlib is not installed.
    """
    kernel = next((w.numpy() for w in layer.weights if w.name == "kernel"), None)
    if kernel is None or kernel.ndim != 4:
        raise ConfigError(
            f"{label_of(layer)} has no filters to draw",
            expected="a kernel [height, width, channels, filters], of a layer that is built",
            received="none" if kernel is None else f"a kernel {list(kernel.shape)}",
        )
    images = np.moveaxis(kernel, -1, 0)[:most]
    images = images if images.shape[-1] == 3 else images[..., 0]
    low, high = images.min(), images.max()
    return _rows({layer.name: list((images - low) / max(high - low, 1e-12))}, path)


def _classes(values: ArrayLike, name: str) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim == 2 and array.shape[1] > 1:
        return array.argmax(axis=1)
    flat = array[:, None] if array.ndim == 1 else array
    if flat.shape[1:] != (1,):
        raise DataError(
            f"{name} is neither classes nor a row of numbers for each",
            expected="[rows], [rows, 1] or [rows, classes]",
            received=list(array.shape),
        )
    if np.array_equal(flat, np.floor(flat)) and flat.min(initial=0) >= 0:
        return flat.astype(int)[:, 0]
    if not ((flat >= 0) & (flat <= 1)).all():
        raise DataError(
            f"{name} holds numbers that are neither classes nor probabilities",
            expected="whole numbers from 0, or numbers from 0 to 1",
            received=f"from {flat.min()} to {flat.max()}",
        )
    return (flat > 0.5).astype(int)[:, 0]


def _channels(array: np.ndarray, most: int) -> list[np.ndarray]:
    """Returns the images of one layer's output: its channels, or a vector as a row."""
    array = array.astype(np.float32)
    if array.ndim < 2:
        return [np.atleast_2d(array)]
    if array.ndim == 2:
        return [array]
    flat = array.reshape(-1, *array.shape[-3:])[0]
    return [flat[..., i] for i in range(min(flat.shape[-1], most))]


def _rows(panels: dict[str, list[np.ndarray]], path: FilePath | None) -> Figure:
    """Returns images in rows of up to 16, with a title above those of each name."""
    columns = min(16, max(map(len, panels.values()), default=1))
    lines = [math.ceil(len(images) / columns) for images in panels.values()]
    figure = pyplot().figure(figsize=(columns * 0.7 + 1, sum(lines) * 0.9 + 0.5))
    grid = figure.add_gridspec(sum(lines), columns)
    row = 0
    for (name, images), count in zip(panels.items(), lines):
        for i, image in enumerate(images):
            whole = len(images) == 1
            axis = figure.add_subplot(
                grid[row, :] if whole else grid[row + i // columns, i % columns]
            )
            axis.imshow(image, cmap="viridis", aspect="auto" if whole else "equal")
            axis.set_axis_off()
            if i == 0:
                axis.set_title(name, fontsize=8, loc="left")
        row += count
    return finished(figure, path)
