"""Where the data of processes are that each read rows of their own, as a checkpoint has it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import jax

from kgraph.data import is_place_for_all
from kgraph.distribution.coordination import gather
from kgraph.errors import StateError
from kgraph.training.engine import Engine


def gather_places(engine: Engine, own: list[Any]) -> list[Any] | None:
    """Returns where the data of each process are; None if all are given the same rows.

    Args:
        engine: knows how the processes are fed.
        own: the position of this process, and the place of its validation data.
    """
    placement = engine.placement
    if placement is None or placement.distribution.auto_shard_dataset:
        return None
    return [json.loads(text) for text in gather("places in the data", json.dumps(own))]


def own_place(meta: Mapping[str, Any]) -> list[Any]:
    """Returns where the data of this process, and its validation data, have been.

    Args:
        meta: of the checkpoint.

    Raises:
        StateError: each process reads rows of its own, and there are more of them now, or fewer.
    """
    places = meta.get("places")
    if places is None or places == [[None, None]] * len(places):  # epoch and batch say all
        return [meta["position"], meta.get("validation")]
    if len(places) == jax.process_count():
        return places[jax.process_index()]
    if _is_for_all(*places[0]):
        return places[0]
    raise StateError(
        "The checkpoint has the places of processes that each read rows of their own",
        expected=f"{len(places)} processes",
        received=jax.process_count(),
        hint="start as many again, or read data that have an index for all processes: "
        "grain.experimental.ElasticIterator",
    )


def check_rows(meta: Mapping[str, Any], rows: int) -> None:
    """Compares what all processes read for a step with what they read before.

    Args:
        meta: of the checkpoint.
        rows: of this process.

    Raises:
        StateError: there are more processes now, or fewer, and their batches have other rows.
    """
    places, count = meta.get("places"), jax.process_count()
    if not places or len(places) == count:
        return
    saved = _rows_of(meta["example"]) * len(places)
    if rows * count != saved:
        raise StateError(
            f"All processes together read {rows * count} rows for a step, and {saved} before",
            at=f"process {jax.process_index()}",
            expected=f"{saved / count:g} rows of each process",
            received=rows,
            hint="keep the number of rows that all read together",
        )


def _is_for_all(position: Any, validation: Mapping[str, Any] | None) -> bool:
    """Tells whether a process' place in its data says where the others are as well."""
    places = [position, validation and validation["position"]]
    return all(place is None or is_place_for_all(place) for place in places)


def _rows_of(example: Any) -> int:
    """Returns how many rows a batch has that was saved as its structure and its arrays."""
    shape, _ = example[1][0]
    return shape[0]
