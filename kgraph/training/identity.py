"""What makes a training this one: what a checkpoint must agree in with the `fit` that goes on.

Where they differ, the result would be a mixture that nobody asked for. So, by what differs:

- Refused is what would make it another training: the model (its dtypes included), the kind of
  optimizer, losses and their weights, class weights (optimizer state, best values and the history
  are of another function), metrics (their sums cannot go on), a `seed` that was asked for, and
  rows, batch size, steps per epoch and shuffling (the place in the data is a number of batches:
  others would be left out, or come twice). `Checkpoint(strict=False)` goes on with a warning,
  except where the arrays themselves do not fit.
- Warned of is what people change on purpose in the middle: options of the optimizer, which count at
  once, and its learning rate, of which the saved one counts, as it is a part of the state; further
  versions and devices, with which the last bits may differ.
- Fine is what changes no result, or none of training: `stack`, `remat`, `passes`, `run_eagerly`,
  `steps_per_execution`, `epochs`, validation. What the rows contain is not looked at.

A function without a registered name is known by its own name, so a changed body is not noticed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax

from kgraph.data import Source
from kgraph.descriptions import Opaque
from kgraph.errors import ConfigError, StateError
from kgraph.registry import describe
from kgraph.source import warn
from kgraph.versions import __version__

if TYPE_CHECKING:
    from kgraph.distribution import Distribution

_NEW_COUNTS = "what is given now counts"
_SAVED_COUNTS = "the saved one counts; set optimizer.learning_rate in on_train_begin to change it"
_BITS = "the last bits of numbers may differ"
_WARNED = {
    "optimizer's options": _NEW_COUNTS, "learning rate": _SAVED_COUNTS,
    "version of kgraph": _BITS, "version of JAX": _BITS, "kind of device": _BITS, "devices": _BITS,
}  # fmt: skip
_IF_BOTH_KNOWN = ("learning rate", "seed", "number of steps per epoch", "model")
LOSSES = ("loss", "loss_weights", "loss_fn", "metrics", "weighted_metrics")

Identity = Mapping[str, Any]
"""Plain data by what it says of a training."""


def training_identity(
    options: Mapping[str, object],
    source: Source,
    class_weight: Any,
    seed: int | None,
    has_been_trained: bool,
    distribution: Distribution | None = None,
) -> Identity:
    """Returns all that is known before there is a batch.

    Args:
        options: what `compile` was given, by name.
        source: the data.
        class_weight, seed: as `fit` was given them.
        has_been_trained: whether the learning rate may have been changed by a training before.
        distribution: how the training is spread over devices.
    """
    kind, config, rate = _optimizer(options["optimizer"])
    weights = None if class_weight is None else [[int(k), v] for k, v in class_weight.items()]
    return {
        "kind of optimizer": kind,
        **{name: _plain(options.get(name)) for name in LOSSES},
        "class_weight": weights and _plain(sorted(weights)),
        "seed": seed,
        "number of rows": source.rows,
        "batch_size": source.batch_size,
        "number of steps per epoch": source.steps,
        "order of rows": str(getattr(source, "shuffle", None)),
        "optimizer's options": config,
        "learning rate": None if has_been_trained else rate,
        "version of kgraph": __version__,
        "version of JAX": jax.__version__,
        "kind of device": jax.devices()[0].device_kind,
        "devices": _devices(distribution),
    }


def _devices(distribution: Distribution | None) -> str:
    """Returns the mesh as text: over which sums are taken, and so how they round."""
    if distribution is None:
        return "1 device"
    mesh = distribution.device_mesh
    axes = " x ".join(f"{n}={s}" for n, s in zip(mesh.axis_names, mesh.shape, strict=True))
    return f"{axes} of {distribution.num_processes} process(es)"


def check_identity(saved: Identity, ours: Identity, strict: bool) -> Identity:
    """Compares a training with the one that a checkpoint belongs to.

    Returns what they are together.

    Args:
        saved: of the checkpoint; what it does not know is not compared.
        ours: of this training.
        strict: whether what belongs to another training is refused; otherwise it is warned of.

    Raises:
        StateError: it is another training; says in what.
    """
    for name in [name for name in ours if name in saved]:
        there, here = saved[name], ours[name]
        if there == here or (None in (there, here) and name in _IF_BOTH_KNOWN):
            continue
        at, there, here = _first_difference(there, here)
        if strict and name not in _WARNED:
            raise StateError(
                f"The checkpoint belongs to a training that differs in its {name}",
                at=at or None,
                expected=str(there)[:200],
                received=str(here)[:200],
                hint="use another directory for another training; Checkpoint(directory, "
                "strict=False) goes on all the same",
            )
        note = _WARNED.get(name, _NEW_COUNTS)
        warn(
            f"The checkpoint belongs to a training that differs in its {name}{at and ' at '}{at}: "
            f"{str(there)[:80]}, and not {str(here)[:80]}; {note}",
        )
    kept = [name for name in _IF_BOTH_KNOWN if name in ours and saved.get(name) is not None]
    return {**ours, **{name: saved[name] for name in kept}}


def _optimizer(optimizer: Any) -> tuple[str, Any, float | None]:
    """Returns an optimizer's kind, its options, and a learning rate that is a number."""
    config = _plain(optimizer)
    rate = _take_rate(config)
    return type(optimizer).__name__, config, rate


def _take_rate(config: Any) -> float | None:
    """Takes learning rates that are numbers out of a description; returns the first."""
    found = None
    if isinstance(config, dict):
        if isinstance(config.get("learning_rate"), (int, float)):
            found = float(config.pop("learning_rate"))
        for item in config.values():
            rate = _take_rate(item)
            found = rate if found is None else found
    return found


def _plain(value: object) -> Any:
    """Returns a description as JSON types, without what differs from process to process."""
    try:
        return _without_addresses(describe(value))
    except ConfigError:
        return type(value).__name__


def _without_addresses(plain: Any) -> Any:
    if isinstance(plain, Opaque):
        return re.sub(r" at 0x[0-9a-f]+", "", plain.text)
    if isinstance(plain, dict):
        return {key: _without_addresses(item) for key, item in plain.items()}
    return [_without_addresses(item) for item in plain] if isinstance(plain, list) else plain


def _first_difference(one: object, other: object, at: str = "") -> tuple[str, Any, Any]:
    """Returns where two descriptions differ first, and what they have there."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in [*one, *other]:
            if one.get(key) != other.get(key) or (key in one) != (key in other):
                return _first_difference(
                    one.get(key, "nothing"), other.get(key, "nothing"), f"{at}.{key}".lstrip(".")
                )
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for i, (left, right) in enumerate(zip(one, other)):
            if left != right:
                return _first_difference(left, right, f"{at}[{i}]")
    return at, one, other
