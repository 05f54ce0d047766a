"""What the processes of one computation tell each other, by JAX' coordination service.

Nothing of this runs on the devices, so threads may use it beside a training. Where one process has
failed, those that wait for it do not wait on: they raise what it has told.
"""

from __future__ import annotations

import time
from typing import Any

import jax
from jax._src import distributed  # its client is not public; Orbax takes it from here as well

from kgraph.errors import StateError

PATIENCE = 600.0
"""For how many seconds a process waits for another one that says nothing."""

_POLL_MS = 500


class ProcessFailedError(StateError):
    """Another process of this computation has failed, or says nothing any more."""


class Notices:
    """The notices of one piece of work, of which each process makes one under the same name.

    With a single process nothing is told, and nobody is waited for.

    Args:
        name: of the work, different from that of any work before in this computation.
    """

    def __init__(self, name: str) -> None:
        # Asked in this order, no backend is started that is not there yet.
        several = jax.distributed.is_initialized()
        self.count = jax.process_count() if several else 1
        self.index = jax.process_index() if several else 0
        self.name = name
        self._place = f"kgraph/{name}"

    @property
    def leads(self) -> bool:
        """Whether this is the process that does what one has to do for all."""
        return self.index == 0

    def tell(self, key: str, text: str) -> None:
        """Leaves a text for the others. A key is used once."""
        if self.count > 1:
            _client().key_value_set(f"{self._place}/{key}", text)

    def ask(self, key: str, process: int = 0) -> str:
        """Returns a text that another process leaves, when it is there.

        Raises:
            ProcessFailedError: some process has failed, or `process` says nothing.
        """
        end = time.monotonic() + PATIENCE
        while True:
            try:
                return _client().blocking_key_value_get(f"{self._place}/{key}", _POLL_MS)
            except jax.errors.JaxRuntimeError as error:
                if "DEADLINE_EXCEEDED" not in str(error) and "NOT_FOUND" not in str(error):
                    raise ProcessFailedError(
                        "The processes cannot reach each other any more",
                        received=str(error).partition("\n")[0],
                    ) from error
            self.check()
            if time.monotonic() > end:
                raise ProcessFailedError(
                    f"Process {process} has said nothing for {PATIENCE:.0f} seconds"
                )

    def fail(self, reason: str) -> None:
        """Tells all others, whatever they wait for, that this process could not do its part."""
        if self.count > 1:
            text = f"process {self.index}: {reason[:500]}"
            _client().key_value_set(f"{self._place}/failed/{self.index}", text)

    def check(self) -> None:
        """Raises ProcessFailedError if another process has failed."""
        if self.count == 1:
            return
        own = f"{self._place}/failed/{self.index}"
        told = dict(_client().key_value_dir_get(f"{self._place}/failed"))
        for key, text in sorted(told.items()):
            if key != own:
                raise ProcessFailedError(f"Another process has failed: {text}")

    def meet(self, key: str) -> None:
        """Returns when all processes have come here.

        Raises:
            ProcessFailedError: one of them has failed, or does not come.
        """
        if self.count == 1:
            return
        if self.leads:
            for other in range(1, self.count):
                self.ask(f"{key}/{other}", other)
            self.tell(f"{key}/all", "")
        else:
            self.tell(f"{key}/{self.index}", "")
            self.ask(f"{key}/all")


def _client() -> Any:
    """Returns the client of the coordination service, whose class has no public name."""
    return distributed.global_state.client
