"""Arrays in a folder, by Orbax: written by it, and read shard by shard in its format.

The only module that knows Orbax. It writes sharded, in the background, by all processes, which meet
through the coordination service. It does not notice flipped bits in its data, refuses arrays of
size zero, and takes the memory that a folder asks for: so shards are read here by TensorStore, as
Orbax does it, after their shapes have been compared, and digests are compared by the callers.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np

from kgraph.distribution.notices import Notices
from kgraph.interrupts import held
from kgraph.saving.checkpoints.places import Place
from kgraph.saving.checkpoints.spec import Spec

_CACHE_BYTES = 2**26
_NO_TIMEOUT = 10**8
"""Seconds after which Orbax gives a save up, by a clock that can be set, and so may jump. A process
that fails or dies is noticed without that, and a save may take as long as it takes."""


class ArraysWriter:
    """Arrays that are being written. All processes make one, and `wait`, in the same order.

    When this returns, arrays of devices that are no CPU may be changed or donated.

    Args:
        folder: does not exist yet.
        tree: nested dicts of arrays.
        notices: how the processes meet.

    Raises:
        OSError: the folder cannot be made.
    """

    def __init__(self, folder: Place, tree: dict[str, object], notices: Notices) -> None:
        with held():
            import orbax.checkpoint as orbax

        self._folder = folder
        self._leads = notices.leads
        processes = orbax.options.MultiprocessingOptions(
            primary_host=0 if notices.count > 1 else jax.process_index(),
            active_processes=set(range(notices.count))
            if notices.count > 1
            else {jax.process_index()},
            barrier_sync_key_prefix=notices.name,
        )
        handlers = orbax.type_handlers.create_type_handler_registry(
            # A shard has one writer: to divide copies among processes means to slice on devices.
            (jax.Array, orbax.type_handlers.ArrayHandler(use_replica_parallel=False)),
            (np.ndarray, orbax.type_handlers.NumpyHandler()),
        )

        def meet(*, key: str, timeout_ms: int) -> None:
            del timeout_ms
            notices.meet(key)

        self._orbax = orbax.AsyncCheckpointer(
            orbax.PyTreeCheckpointHandler(
                type_handler_registry=handlers, multiprocessing_options=processes
            ),
            async_options=orbax.options.AsyncOptions(
                timeout_secs=_NO_TIMEOUT, barrier_sync_fn=meet if notices.count > 1 else None
            ),
            multiprocessing_options=processes,
        )
        with _system_errors():
            self._orbax.save(str(folder), args=orbax.args.PyTreeSave(tree))

    def wait(self) -> None:
        """Returns when the arrays are on the disk.

        Raises:
            OSError: they could not be written.
        """
        with _system_errors():
            self._orbax.wait_until_finished()
        self._orbax.close()
        if self._leads:
            # Orbax notes here where it wrote to; a file that is passed on should not tell.
            (self._folder / "commit_success.txt").write_bytes(b"Checkpoint commit was successful")


class ArraysReader:
    """Arrays in a folder that Orbax wrote, by name.

    Args:
        folder: as `ArraysWriter` was given it; or one that an earlier version of kgraph wrote.
        driver: how its arrays are stored; Keras' are in "zarr3".
    """

    def __init__(self, folder: Place, driver: str = "zarr") -> None:
        with held():
            import tensorstore

        base, self._driver = os.fspath(folder), driver
        if not (folder / "manifest.ocdbt").exists():  # the first version of the format
            base = min(str(p) for p in Path(folder).iterdir() if (p / "manifest.ocdbt").exists())
            self._driver = "zarr3"
        self._base = f"{base}/" if "://" in base else f"file://{base}/"
        self._context = tensorstore.Context({"cache_pool": {"total_bytes_limit": _CACHE_BYTES}})

    def read(
        self, name: str, spec: Spec, start: tuple[int, ...], shape: tuple[int, ...]
    ) -> np.ndarray:
        """Returns a shard of an array, in host memory.

        Raises:
            ValueError: the folder holds another array under this name.
        """
        import tensorstore

        kvstore = {"driver": "ocdbt", "base": self._base, "path": f"{name}/"}
        request = {"driver": self._driver, "kvstore": kvstore}
        store = tensorstore.open(request, context=self._context, open=True, read=True).result()
        chunk = [size or 1 for size in store.chunk_layout.read_chunk.shape or spec.shape]
        # A chunk is decompressed whole, so one larger than its array would take memory for nothing.
        fits = tuple(store.shape) == spec.shape and store.dtype.name == spec.dtype
        if not fits or math.prod(chunk) > math.prod(spec.shape):
            raise ValueError(f"{name!r} is {store.shape} {store.dtype.name} in the checkpoint")
        region = tuple(slice(first, first + size) for first, size in zip(start, shape, strict=True))
        return np.asarray(store[region].read().result())


@contextlib.contextmanager
def _system_errors() -> Iterator[None]:
    """Raises the error of the system that Orbax tells of, often at the end of a long text.

    And keeps from the log what is raised as well: Orbax' threads print a failure many times over.
    """

    def is_news(record: logging.LogRecord) -> bool:
        return record.levelno < logging.ERROR

    logger = logging.getLogger("absl")
    logger.addFilter(is_news)
    try:
        yield
    except ValueError as error:  # how TensorStore reports a full disk
        found = re.search(r"os_error_code='(\d+)'", str(error))
        if found is None:
            raise OSError(f"Orbax could not write the arrays: {error}") from error
        number = int(found[1])
        raise OSError(number, f"Orbax could not write the arrays: {os.strerror(number)}") from error
    finally:
        logger.removeFilter(is_news)
