"""Where validation data are that only move on: an iterator that validations share out."""

from __future__ import annotations

from typing import Any

from kgraph.data import Source
from kgraph.source import warn


class ValidationPlace:
    """Follows an iterator through the validations of a training, and brings it back there.

    Data that begin anew with each validation need no place. A validation that is cut off counts as
    not begun: a training that goes on does it again, from the place where it began.

    Attributes:
        ended: whether the iterator has given all that it had.
    """

    def __init__(self) -> None:
        self._source: Any = None
        self._position: Any = None
        self._batches = 0
        self.ended = False

    def restore(self, saved: dict[str, Any] | None) -> None:
        """Takes over what `saved` has returned in another process."""
        if saved is not None:
            self._position, self._batches = saved["position"], saved["batches"]
            self.ended = saved["ended"]

    def saved(self) -> dict[str, Any] | None:
        """Returns the place as plain data; None for data that need none."""
        if self._source is None:
            return None
        return {"position": self._position, "batches": self._batches, "ended": self.ended}

    def begin(self, source: Source) -> None:
        """Comes before the first batch is taken from the data."""
        if source.resumable:
            self.ended = False
            return
        self._source = source
        if self._batches and not self.ended:
            self._source.set_position(self._position, self._batches)
        elif not self._batches:
            self._position = self._source.get_position()

    def moved(self, batches: int) -> None:
        """Comes after a validation on so many batches."""
        if self._source is not None:
            self._position = self._source.get_position()
            self._batches += batches
            self.ended = self._source.exhausted

    def warn_if_ended(self) -> bool:
        """Tells whether there is nothing left to validate on, and the user as well."""
        if self.ended:
            warn(
                "The validation data have ended, so there are no val_ logs: pass a function that "
                "makes the generator, or an endless one with validation_steps",
            )
        return self.ended
