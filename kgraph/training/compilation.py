"""Compiling ahead of time: each function once for each form of its arguments, with a report.

Executables are shared between all models of the process whose lowered programs are equal to the
letter, so a loop that builds the same model again compiles nothing again.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import jax

from kgraph.compiler.executables import Making
from kgraph.interrupts import PATIENCE, held
from kgraph.layers.base.remarks import remarks
from kgraph.source import warn
from kgraph.tables import Table, Tabular
from kgraph.training.xla_options import xla_options

Form: TypeAlias = tuple[tuple[str, Any], ...]
"""What an executable is for: pairs of a label and a hashable value."""

_SHARED: OrderedDict[Any, Making] = OrderedDict()
_MOST_SHARED = 64
_CALLBACKS = ("callback", "host_transfer")
_TICK = 0.5


@dataclass(frozen=True)
class Compilation:
    """One executable that a model has made or found.

    Fields:
        function: "train", "evaluate", "predict" or "results", with how it gets its data.
        reason: why it was new: "first use", or what differs from the executable before.
        traced: seconds to trace and lower the Python code.
        compiled: seconds in XLA; 0 if `shared`.
        shared: whether an equal program of another model (or an earlier one) was found.
        temporary_bytes: what a call needs beside its arguments and results; None if unknown.
        remarks: how parts of it are computed, and why.
    """

    function: str
    reason: str
    traced: float
    compiled: float
    shared: bool
    temporary_bytes: int | None
    remarks: tuple[str, ...] = ()


Notice: TypeAlias = Callable[[Compilation | None], None]
"""What is told of compilations; see `Compiler.telling`."""


class CompileReport(Tabular, Sequence[Compilation]):
    """The executables of a model in the order in which they came; printed as a table."""

    def __init__(self, entries: Sequence[Compilation]) -> None:
        self._entries = tuple(entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: Any) -> Any:
        return self._entries[index]

    @property
    def seconds(self) -> float:
        """Time that went into all of them."""
        return sum(entry.traced + entry.compiled for entry in self)

    def _kgraph_table(self) -> Table:
        if not self._entries:
            return Table("Nothing was compiled yet", [])
        rows = [("function", "trace", "compile", "why")]
        for e in self._entries:
            compiled = "shared" if e.shared else f"{e.compiled:.2f} s"
            rows.append((e.function, f"{e.traced:.2f} s", compiled, e.reason))
        count = len(self._entries)
        title = f"{count} executable{'' if count == 1 else 's'}, {self.seconds:.2f} s in all"
        said = dict.fromkeys(f"{e.function}: {text}" for e in self._entries for text in e.remarks)
        return Table(title, rows, right=(1, 2), below=tuple(said))


@dataclass(frozen=True)
class Begun:
    """A compilation that XLA is at.

    Fields:
        making: gives the executable.
        traced: seconds to trace and lower the Python code.
        shared: whether somebody else has begun it.
        remarks: as of `Compilation`.
    """

    making: Making
    traced: float
    shared: bool
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class Ready:
    """An executable that was made elsewhere.

    Fields:
        takes: tells whether it is for some arguments.
        run: the executable.
    """

    takes: Callable[..., bool]
    run: Callable[..., Any]


def forget_shared() -> None:
    """Lets go of the executables that models could share; those that have them keep them."""
    _SHARED.clear()


def _nobody(_: Compilation | None) -> None:
    """Is told where nobody listens."""


class _Listening(threading.local):
    """What each thread tells of its compilations."""

    notice: Notice = staticmethod(_nobody)


@contextlib.contextmanager
def _ticking(notice: Notice) -> Iterator[None]:
    """Calls `notice(None)` at the beginning of the block, and twice a second until its end."""
    if notice is _nobody:
        yield
        return
    notice(None)
    ended = threading.Event()

    def tick() -> None:
        while not ended.wait(_TICK):
            notice(None)

    clock = threading.Thread(target=tick, name="kgraph-compile-clock", daemon=True)
    clock.start()
    try:
        yield
    finally:
        ended.set()
        clock.join()


class Compiler:
    """Makes executables for one model and remembers why.

    Args:
        eager: True runs functions as plain Python instead, operation by operation.

    Attributes:
        entries: what was made so far.
        lock: held while something is compiled, so that of two threads one does it for both.
        ready: by the name of a function, what was compiled elsewhere and serves where its form is
            that of the arguments.
    """

    def __init__(self, eager: bool = False) -> None:
        self.eager = eager
        self.entries: list[Compilation] = []
        self.lock = threading.RLock()
        self.ready: dict[str, Ready] = {}
        self._listening = _Listening()
        self._forms: dict[str, Form] = {}

    @contextlib.contextmanager
    def telling(self, notice: Notice) -> Iterator[None]:
        """Tells a display about what this thread compiles within the block.

        `notice` is called with None before something is compiled, twice a second while it is (from
        another thread), and with its `Compilation` after.
        """
        before, self._listening.notice = self._listening.notice, notice
        try:
            yield
        finally:
            self._listening.notice = before

    def eagerly(self) -> contextlib.AbstractContextManager[Any]:
        """Runs operations one by one within the block, if the compiler is told to."""
        return jax.disable_jit() if self.eager else contextlib.nullcontext()

    def report(self) -> CompileReport:
        """Returns what was made so far."""
        return CompileReport(self.entries)

    def compile(
        self,
        name: str,
        function: Callable[..., Any],
        donate: tuple[int, ...],
        form: Form,
        args: Any,
        out_shardings: Any = None,
        begun: Begun | None = None,
    ) -> Callable[..., Any]:
        """Returns an executable of `function` for arguments like `args`.

        Args:
            name: how it is called in the report.
            function: pure.
            donate: positions of the arguments whose memory a call may reuse.
            form: what of the arguments decides.
            args: arrays, or their shapes.
            out_shardings: where its results lie; None leaves it to XLA.
            begun: what `begin` has returned for the same.
        """
        if self.eager:
            return function
        reason = self._reason(name, form)
        if (ready := self.ready.get(name)) is not None:
            if ready.takes(*args):
                self.entries.append(Compilation(name, "read from a file", 0.0, 0.0, True, None))
                return ready.run
            warn(
                f"{name}: what was read from a file is for arguments of other shapes, or for other "
                "devices, and is not used",
            )
        with _ticking(self._listening.notice):
            if begun is None:
                begun = self.begin(function, donate, args, out_shardings)
            executable = begun.making.result()
            seconds = 0.0 if begun.shared else begun.making.seconds
            temporary = _temporary_bytes(executable)
            entry = Compilation(
                name, reason, begun.traced, seconds, begun.shared, temporary, begun.remarks
            )
        self.entries.append(entry)
        self._listening.notice(entry)
        return executable

    def begin(
        self, function: Callable[..., Any], donate: tuple[int, ...], args: Any, out_shardings: Any
    ) -> Begun:
        """Traces a function, and has XLA begin with it; see `compile`."""
        start = time.perf_counter()
        placed = {} if out_shardings is None else {"out_shardings": out_shardings}
        with held(PATIENCE), remarks() as said:
            lowered = jax.jit(function, donate_argnums=donate, **placed).lower(*args)
            text = lowered.as_text()
            key = _fingerprint(lowered, text, args)
            traced = time.perf_counter() - start
            shared = key in _SHARED and not _SHARED[key].has_failed
            making = _SHARED[key] if shared else Making(lowered, xla_options(text) or None)
            if key is not None:
                _SHARED[key] = making
                _SHARED.move_to_end(key)
                while len(_SHARED) > _MOST_SHARED:
                    _SHARED.popitem(last=False)
        return Begun(making, traced, shared, tuple(said))

    def _reason(self, name: str, form: Form) -> str:
        before = self._forms.get(name)
        self._forms[name] = form
        if before is None:
            return "first use"
        old = dict(before)
        changed = [
            f"{label}: {_show(old.get(label))} before, {_show(value)} now"
            for label, value in form
            if old.get(label) != value
        ]
        return "; ".join(changed) or "compile() or the model's trainable layers changed"


class Function:
    """A function that is compiled when it meets a new form of arguments.

    Args:
        compiler: what compiles it.
        name: how it is called in the report.
        function: pure.
        donate: positions of the arguments whose memory a call may reuse.
        out_shardings: says, from the arguments, where results lie; None leaves it to XLA.
    """

    def __init__(
        self,
        compiler: Compiler,
        name: str,
        function: Callable[..., Any],
        donate: tuple[int, ...] = (),
        out_shardings: Callable[[tuple[Any, ...]], Any] | None = None,
    ) -> None:
        self._compiler, self._name = compiler, name
        self._function, self._donate, self._placed = function, donate, out_shardings
        self._executables: dict[Form, Callable[..., Any]] = {}
        self._begun: dict[Form, Begun] = {}
        self._last: tuple[Form | None, Callable[..., Any]] = None, function

    def begin(self, form: Form, *args: Any) -> None:
        """Has XLA begin with the executable for arguments of this form; shapes are enough."""
        compiler = self._compiler
        if compiler.eager or self._name in compiler.ready:
            return
        with compiler.lock:
            if form not in self._executables and form not in self._begun:
                self._begun[form] = compiler.begin(
                    self._function, self._donate, args, self._placed and self._placed(args)
                )

    def prepared(self, form: Form, *args: Any) -> Callable[..., Any]:
        """Returns the executable for arguments of this form."""
        return self.known(form) or self._made(form, args)

    def known(self, form: Form) -> Callable[..., Any] | None:
        """Returns the executable for arguments of this form, if there is one."""
        last, executable = self._last
        if form != last:  # mostly the parts are the same objects, and a hash would read all shapes
            executable = self._executables.get(form)
        if executable is not None:
            self._last = form, executable
        return executable

    def _made(self, form: Form, args: Any) -> Callable[..., Any]:
        with self._compiler.lock:
            if form not in self._executables:
                self._executables[form] = self._compiler.compile(
                    self._name, self._function, self._donate, form, args,
                    self._placed and self._placed(args), self._begun.pop(form, None),
                )  # fmt: skip
            return self._executables[form]

    def __call__(self, form: Form, *args: Any) -> Any:
        return self.prepared(form, *args)(*args)


def _fingerprint(lowered: Any, text: str, args: Any) -> Any:
    """Returns a value that is equal for programs that do the same to arguments of the same form.

    None for a program that calls back into Python: its text does not say which function it calls.
    """
    if any(word in text for word in _CALLBACKS):
        return None
    options = repr(sorted(jax.config.values.items()))
    digest = hashlib.sha256(text.encode()).digest()
    return digest, lowered.in_tree, lowered.out_tree, options, _devices_of(args)


def _devices_of(args: Any) -> frozenset[Any]:
    """Returns what the text of a program does not say: on which devices its arguments lie."""
    shardings = {getattr(leaf, "sharding", None) for leaf in jax.tree.leaves(args)}
    return frozenset(getattr(sharding, "mesh", sharding) for sharding in shardings)


def _temporary_bytes(executable: Any) -> int | None:
    try:
        return int(executable.memory_analysis().temp_size_in_bytes)
    except (AttributeError, NotImplementedError, RuntimeError):  # not every backend tells
        return None


def _show(value: object) -> str:
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], tuple):
        return " ".join(f"{dtype}{list(shape)}" for shape, dtype, *_ in value[1])
    return str(value)
