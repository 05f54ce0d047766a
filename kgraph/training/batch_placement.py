"""Batches on several devices: each device gets its rows of a batch."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from kgraph.distribution.coordination import gather_numbers
from kgraph.distribution.layout import put
from kgraph.errors import ConfigError, DataError
from kgraph.source import warn
from kgraph.training.step import Batch
from kgraph.types import Array, Tree

if TYPE_CHECKING:
    from kgraph.distribution.base import Distribution


class BatchPlacement:
    """Lays out batches and what is whole on each device as a distribution says.

    Args:
        distribution: the rules.

    Attributes:
        parts: into how many a batch that this process reads is cut.
        reads_own: whether that batch is only this process' part of the whole one.
        agreed: how many rows such a part has to have.
    """

    reads_own = False
    agreed = 0

    def __init__(self, distribution: Distribution) -> None:
        self.distribution = distribution
        self.parts = distribution.num_model_replicas
        self._warned = False

    def reading(self, arrays: bool, rows: int) -> Self:
        """Returns what lays out the batches of some data.

        Args:
            arrays: whether they are arrays, which every process has whole, and no stream.
            rows: of the first batch.
        """
        where = self.distribution
        if where.num_processes == 1:
            return self
        found = gather_numbers("the rows of the data", rows)
        if arrays or where.auto_shard_dataset:
            self._check_equal(found, arrays)
            return self
        own = copy.copy(self)
        own.reads_own, own.parts = True, self.parts // where.num_processes
        if not own.parts:
            raise ConfigError(
                f"{where.num_processes} processes cannot each read their part of a batch",
                expected=f"as many parts: the mesh has {self.parts} along {where.batch_dim_name!r}",
                hint="auto_shard_dataset=True, and the same data in every process",
            )
        own.agreed = own.rounded(max(found))
        return own

    def _check_equal(self, rows: list[int], arrays: bool) -> None:
        if len(set(rows)) > 1:
            other = next(i for i, number in enumerate(rows) if number != rows[0])
            what = "arrays" if arrays else "batches"
            raise DataError(
                f"All processes are given the same {what}, and each takes its part of them",
                expected=f"{rows[0]} rows, as in process 0",
                received=f"{rows[other]} in process {other}",
                hint=None if arrays else "auto_shard_dataset=False, if each reads its own part",
            )

    def own_rows(self) -> slice:
        """Returns which rows of a whole batch are those that this process has read."""
        whole = self.agreed * self.distribution.num_processes
        places = self.distribution.batch_sharding.addressable_devices_indices_map((whole,))
        bounds = [index[0].indices(whole) for index in places.values() if index is not None]
        return slice(min(start for start, _, _ in bounds), max(stop for _, stop, _ in bounds))

    # --- batches ---------------------------------------------------------------------------------

    def whole(self, tree: Tree, copy: bool = False) -> Any:
        """Returns the arrays whole on each device; see `put`."""
        return put(tree, self.distribution.replicated, copy)

    def rounded(self, rows: int) -> int:
        """Returns how many rows a batch has to be filled up to, to be cut into equal parts."""
        return self.agreed or -(-rows // self.parts) * self.parts

    def batch(self, tree: Tree, rows: int) -> Any:
        """Returns the arrays of a batch from the host, each device with its rows.

        A batch that cannot be cut into equal parts lies whole on each device.
        """
        where = self.distribution
        if self.reads_own:
            self._check_agreed(rows)
            return jax.tree.map(self._own_part, tree)
        return put(tree, where.replicated if rows % self.parts else where.batch_sharding)

    def _check_agreed(self, rows: int) -> None:
        if rows != self.agreed:
            raise DataError(
                "Batches of several processes have to be of one size, which devices divide",
                expected=f"{self.agreed} rows in each process",
                received=f"{rows} in process {jax.process_index()}",
                hint="drop the last batch if it is smaller; or auto_shard_dataset=True",
            )

    def _own_part(self, array: Any) -> Array:
        """Returns the batch of which this process has read a part."""
        sharding = self.distribution.batch_sharding
        return jax.make_array_from_process_local_data(sharding, np.asarray(array))

    def inputs(self, tree: Tree) -> Any:
        """Returns the inputs of one call, spread if all have as many rows and these can be cut.

        What is being traced stays as it is; so do inputs whose results several processes share.
        """
        leaves = jax.tree.leaves(tree)
        if any(isinstance(leaf, Tracer) for leaf in leaves):
            return tree
        rows = {leaf.shape[0] if leaf.ndim else 1 for leaf in leaves}
        where = self.distribution
        cut = len(rows) == 1 and not min(rows) % self.parts and where.num_processes == 1
        return put(tree, where.batch_sharding if cut else where.replicated)

    def spread(self, pads: bool) -> Callable[[Batch, Any], tuple[Batch, Any]]:
        """Returns a traceable function that spreads a batch and its flags of rows.

        Args:
            pads: whether rows may be added that do not count.
        """

        def spread(batch: Batch, kept: Array | None) -> tuple[Batch, Array | None]:
            rows, wanted = batch.rows, self.rounded(batch.rows)
            if rows != wanted:
                if not pads:
                    return batch, kept
                batch = jax.tree.map(lambda a: _filled(a, wanted), batch)
                counts = jnp.arange(wanted, dtype=jnp.int32) < rows
                kept = counts if kept is None else _filled(kept, wanted) & counts
            where = self.distribution.batch_sharding
            pair = (batch, kept)
            return jax.tree.map(lambda a: jax.lax.with_sharding_constraint(a, where), pair)

        return spread

    def warn_of(self, rows: int, pads: bool) -> None:
        """Warns, once, of batches of which each device has to compute all."""
        if rows % self.parts and not pads and not self._warned:
            self._warned = True
            warn(
                f"Batches of {rows} rows cannot be cut into {self.parts} equal parts, and this "
                "model has a layer, loss or metric for which they must not be padded, so each "
                f"device computes all rows: use a batch_size divisible by {self.parts}",
            )

    # --- several processes -----------------------------------------------------------------------

    def block_size(self, wanted: int | None) -> int | None:
        """Returns how many steps go to the devices at once; None lets the process measure.

        Several processes have to hand over the same blocks, and would measure different times.
        """
        return 1 if wanted is None and self.distribution.num_processes > 1 else wanted

    def everywhere(self, holds: bool) -> bool:
        """Tells whether something holds in each process."""
        if self.distribution.num_processes == 1:
            return holds
        return all(gather_numbers("what has to hold everywhere", holds))

    def read_here(self, tree: Tree) -> Any:
        """Returns arrays that lie whole on each device as arrays of this process alone.

        So it can look at them at any time, without the others.
        """
        if self.distribution.num_processes == 1:
            return tree
        return jax.tree.map(lambda leaf: leaf.addressable_data(0), tree)


def _filled(array: Array, rows: int) -> Array:
    """Returns an array filled up to `rows` rows by repeating its last one."""
    last = jnp.broadcast_to(array[-1:], (rows - array.shape[0], *array.shape[1:]))
    return jnp.concatenate([array, last])
