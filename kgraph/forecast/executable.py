"""Compiled steps in files: a job begins without compiling."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import jax

from kgraph.errors import StateError
from kgraph.forecast.words import as_key, as_words
from kgraph.training.compilation import Ready
from kgraph.training.state import TrainState, copied
from kgraph.types import Array, Tree
from kgraph.writing import write_file


class Executable:
    """A step that was compiled elsewhere, loaded for the devices of this process.

    Args:
        call: takes arrays and returns them, flat.
        identity: of which model and training it is a step; None where the file does not say.
    """

    def __init__(self, call: Any, identity: str | None) -> None:
        self._call, self.identity = call, identity

    def takes(self, *args: Tree) -> bool:
        """Tells whether it is for arguments of these shapes and dtypes, in these places."""
        given = [as_words(leaf) for leaf in jax.tree.leaves(args)]
        wanted = list(zip(self._call.in_avals[0], jax.tree.leaves(self._call.input_shardings[0])))
        return len(given) == len(wanted) and all(
            (leaf.shape, leaf.dtype) == (aval.shape, aval.dtype)
            and leaf.sharding.is_equivalent_to(sharding, leaf.ndim)
            for leaf, (aval, sharding) in zip(given, wanted)
        )

    def __call__(self, first: Tree, *others: Tree) -> Any:
        """Runs the step.

        Args:
            first: the state of a training, or the variables of a model. A state is given away: its
                memory holds the next one.
            others: the batch, or the inputs.

        Returns:
            The next state, in the structure of `first`; or a list of predictions.
        """
        leaves, structure = jax.tree.flatten(first)
        given = [as_words(leaf) for leaf in (*leaves, *jax.tree.leaves(others))]
        results = list(self._call(*given))
        shapes = [leaf.shape for leaf in given[: len(leaves)]]
        if [result.shape for result in results] != shapes:
            return results
        return structure.unflatten(map(as_key, leaves, results))


def for_fit(step: Executable) -> Ready:
    """Returns a training step in the form of the one that `fit` compiles for a batch."""

    def run(state: TrainState, batch: Tree, kept: Tree) -> tuple[TrainState, Array]:
        after = step(state, batch, kept)
        return after, copied(after.step)  # the step itself is given away with the state

    return Ready(step.takes, run)


def write_executable(path: str | Path, identity: str, executable: bytes) -> None:
    """Writes what a compiler has written down, with what it is a step of."""
    write_file(path, pickle.dumps((identity, executable)))


def load_executable(path: str | Path) -> Executable:
    """Loads what `Forecast.save_executable` wrote.

    The file is a pickle, which can run any code while it is read: load only files of your own. It
    fits the versions of JAX and of the compiler that wrote it, and a slice of the same form.

    Raises:
        StateError: the file is something else, the devices here are others, or the versions are.
    """
    from jax.experimental import serialize_executable

    data = Path(path).read_bytes()
    try:
        stored = pickle.loads(data)
        identity, parts = None, stored
        if len(stored) == 2:  # files of before say no more than the program
            identity, parts = stored[0], pickle.loads(stored[1])
    except (pickle.UnpicklingError, EOFError, TypeError, ValueError, IndexError) as error:
        raise StateError(
            f"{str(path)!r} is no executable", expected="what forecast.save_executable wrote",
            received=f"{len(data)} bytes: {error}",
        ) from error  # fmt: skip
    try:
        return Executable(serialize_executable.deserialize_and_load(*parts), identity)
    except (jax.errors.JaxRuntimeError, ValueError, RuntimeError) as error:
        raise StateError(
            f"The executable in {str(path)!r} cannot be run here",
            received=str(error).partition("\n")[0],
            hint="make it with these versions, for devices like these",
        ) from error
