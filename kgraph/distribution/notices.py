"""How processes work together on something in the background, beside the calls that they make.

Each piece of such work has its own notices, so that a failure in it is a failure of this work only.
"""

from __future__ import annotations

import jax

from kgraph.distribution.coordination import TURN_SECONDS, leave_note, look_for, notes_in
from kgraph.errors import ProcessError


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
            leave_note(f"{self._place}/{key}", text)

    def ask(self, key: str) -> str:
        """Returns a text that another process leaves, when it is there.

        Raises:
            ProcessError: another process has failed in this work.
        """
        while (found := look_for(f"{self._place}/{key}", TURN_SECONDS)) is None:
            self.check()
        return found

    def fail(self, reason: str) -> None:
        """Tells all others, whatever they wait for, that this process could not do its part."""
        self.tell(f"failed/{self.index}", f"process {self.index}: {reason[:500]}")

    def check(self) -> None:
        """Raises ProcessError if another process has failed in this work."""
        own = f"process {self.index}: "
        for text in notes_in(f"{self._place}/failed/") if self.count > 1 else ():
            if not text.startswith(own):
                raise ProcessError(f"Another process has failed: {text}")

    def meet(self, key: str) -> None:
        """Returns when all processes have come here.

        Raises:
            ProcessError: another process has failed in this work.
        """
        if self.count == 1:
            return
        if self.leads:
            for other in range(1, self.count):
                self.ask(f"{key}/{other}")
            self.tell(f"{key}/all", "")
        else:
            self.tell(f"{key}/{self.index}", "")
            self.ask(f"{key}/all")
