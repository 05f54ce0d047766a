"""Ctrl-C waits where it would leave something half done, and is heard everywhere else."""

# ruff: noqa: PT012 - what happens between Ctrl-C and its arrival is what is tested

from __future__ import annotations

import hashlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import jax
import numpy as np
import pytest

import kgraph
from kgraph import interrupts, unheard
from kgraph.compiler.executables import Making
from kgraph.data import ahead
from kgraph.errors import StateError
from kgraph.interrupts import heard, held, listening
from kgraph.saving.checkpoints import Checkpoint, step_files

X = np.random.default_rng(0).normal(size=(12, 4)).astype("float32")
Y = X.sum(axis=1, keepdims=True)


def press() -> None:
    signal.raise_signal(signal.SIGINT)


def press_when_main_waits(going: threading.Event) -> None:
    """Presses Ctrl-C when the main thread waits for another one, after it has set `going`."""
    main = threading.main_thread().ident
    assert main is not None
    assert going.wait(60)
    for _ in range(3000):
        if sys._current_frames()[main].f_code.co_filename == threading.__file__:
            break
        time.sleep(0.01)
    signal.pthread_kill(main, signal.SIGINT)


# --- the two words -------------------------------------------------------------------------------


def test_ctrl_c_waits_for_the_end_of_what_is_held() -> None:
    done: list[int] = []
    with pytest.raises(KeyboardInterrupt), held():
        press()
        done.append(1)
        with held():
            press()
        done.append(2)
    assert done == [1, 2]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_arrives_at_once_where_it_is_heard_and_only_once() -> None:
    done: list[int] = []
    with pytest.raises(KeyboardInterrupt), held():
        try:
            with heard():
                press()
                done.append(1)
        finally:
            press()
            done.append(2)
    assert done == [2]


def test_ctrl_c_that_came_before_arrives_where_it_is_heard_next() -> None:
    with held():
        press()
        with pytest.raises(KeyboardInterrupt), heard():
            raise AssertionError("too late")
        with heard():  # it has arrived
            pass


def test_an_error_gives_way_to_ctrl_c_and_the_end_of_the_program_does_not() -> None:
    with pytest.raises(KeyboardInterrupt) as caught, held():
        press()
        raise ValueError("mine")
    assert str(caught.value.__cause__) == "mine"
    with pytest.raises(SystemExit), held():
        press()
        raise SystemExit(75)


class _Dying:
    def __del__(self) -> None:
        press()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_ctrl_c_in_a_finalizer_which_python_swallows_arrives_later() -> None:
    with pytest.raises(KeyboardInterrupt), held():
        with heard():
            _Dying()
        with heard():
            raise AssertionError("too late")


def test_what_jax_makes_of_ctrl_c_while_it_looks_something_up_is_ctrl_c() -> None:
    text = "Cache keys should be comparable using __eq__. [...]\nKeyboardInterrupt: "  # jax 0.12's
    with pytest.raises(KeyboardInterrupt), held(), heard():
        raise ValueError(text)


def test_a_handler_of_somebody_else_stays_and_other_threads_are_left_alone() -> None:
    heard_of: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: heard_of.append(number))
    try:
        with held(), heard():
            press()
        assert heard_of == [signal.SIGINT]
    finally:
        signal.signal(signal.SIGINT, before)

    def work() -> None:
        with held(), heard():
            found.append(signal.getsignal(signal.SIGINT))

    found: list[Any] = []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(30)
    assert found == [signal.default_int_handler]


def test_code_that_never_ends_is_left_by_another_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(interrupts.time, "monotonic", lambda: now[0])
    steps: list[float] = []
    with pytest.raises(KeyboardInterrupt), held(), held(interrupts.PATIENCE):
        for now[0] in (10.0, 11.0, 12.5):
            press()
            steps.append(now[0])
    assert steps == [10.0, 11.0]
    with pytest.raises(KeyboardInterrupt), held():  # on the way out there is no end to patience
        for now[0] in (10.0, 20.0):
            press()
            steps.append(now[0])
    assert steps == [10.0, 11.0, 10.0, 20.0]


# --- where they stand ----------------------------------------------------------------------------


def _unheld(call: Callable[[], object]) -> set[str]:
    """Returns what of JAX's tracing, and which imports, Ctrl-C could have split in a call."""
    found: set[str] = set()
    fragile: dict[CodeType, bool] = {}

    def look(frame: FrameType, event: str, arg: Any) -> None:
        code = frame.f_code
        if event != "call":
            return
        if code not in fragile:
            fragile[code] = _is_fragile(code)
        if not fragile[code]:
            return
        if signal.getsignal(signal.SIGINT) is not interrupts._handle or _may_arrive():
            found.add(f"{Path(code.co_filename).name}:{code.co_name}")

    sys.setprofile(look)
    try:
        call()
    finally:
        sys.setprofile(None)
    return found


def _is_fragile(code: CodeType) -> bool:
    """Whether a function is one of JAX's that trace and lower, or a module on its way in."""
    if code.co_name == "<module>":
        return Path(code.co_filename).is_absolute() and "/encodings/" not in code.co_filename
    return code.co_filename.endswith(("interpreters/partial_eval.py", "interpreters/mlir.py"))


def _may_arrive() -> bool:
    return interrupts._Signal.may_arrive


@kgraph.saving.register_keras_serializable("interrupts")
class Scale(kgraph.Layer):
    def build(self, input_shape: Any) -> None:
        self.scale = self.add_weight(input_shape[-1:], "glorot_uniform")

    def call(self, inputs: Any) -> Any:
        return inputs * self.scale[None]


def _model() -> Any:
    inputs = kgraph.Input((4,))
    x = kgraph.layers.Dropout(0.5)(kgraph.layers.Dense(4, activation="gelu")(inputs))
    return kgraph.Model(inputs, kgraph.layers.Dense(1)(Scale()(x)))


def _batches() -> Iterator[Any]:
    yield X[:4], Y[:4]


def _fit_with_checkpoint(model: Any, folder: Path) -> None:
    for epochs in (1, 2):
        checkpoint = kgraph.Checkpoint(folder / "steps")
        model.fit(X, Y, epochs=epochs, verbose=0, checkpoint=checkpoint)


CALLS: dict[str, Callable[[Any, Path], object]] = {
    "compile": lambda m, _: m.compile("adam", "mse", metrics=["mae"]),
    "fit": lambda m, _: m.fit(X, Y, batch_size=5, verbose=0, validation_split=0.5),
    "predict": lambda m, _: m.predict(iter([X]), verbose=0),
}
MORE: dict[str, Callable[[Any, Path], object]] = {
    "call": lambda m, _: (m(X), m(X, training=True)),
    "call of a layer": lambda *_: kgraph.layers.LSTM(3)(X[None]),
    "fit from a generator": lambda m, _: m.fit(_batches, verbose=0),
    "fit with a checkpoint": _fit_with_checkpoint,
    "evaluate": lambda m, _: m.evaluate(X, Y, verbose=0),
    "predict rows": lambda m, _: m.predict(X, batch_size=4, verbose=0),
    "one batch": lambda m, _: (m.train_on_batch(X, Y), m.test_on_batch(X, Y)),
    "summary": lambda m, _: m.summary(cost=True, print_fn=lambda *_: None),
    "save": lambda m, folder: (m.save(folder / "m.kgraph"), m.save(folder / "m.keras")),
    "load": lambda _, folder: kgraph.saving.load_model(folder / "m.kgraph"),
    "load Keras' file": lambda _, folder: kgraph.saving.load_model(folder / "m.keras"),
    "export": lambda m, folder: m.export(folder / "m.stablehlo"),
    "read the export": lambda _, folder: kgraph.export.load(folder / "m.stablehlo")(X),
    "print": lambda m, _: str(kgraph.lower(m).jaxpr()),
}


@pytest.mark.parametrize("more", [{}, pytest.param(MORE, marks=pytest.mark.slow)])
def test_no_ctrl_c_splits_an_import_or_what_jax_traces(more: Any, tmp_path: Path) -> None:
    made: list[Any] = []
    assert _unheld(lambda: made.append(_model())) == set()
    for name, call in {**CALLS, **more}.items():
        found = _unheld(partial(call, made[0], tmp_path))
        assert found == set(), name


class _Lowered:
    """Stands for what XLA takes long to compile; presses Ctrl-C meanwhile."""

    def __init__(self) -> None:
        self.going, self.gate = threading.Event(), threading.Event()

    def compile(self, options: Any) -> str:
        press_when_main_waits(self.going)
        assert self.gate.wait(60)
        return "executable"


def test_a_compilation_can_be_left_and_its_result_is_there_later() -> None:
    lowered = _Lowered()
    making = Making(lowered, None)
    with pytest.raises(KeyboardInterrupt) as caught, held():
        lowered.going.set()
        making.result()
    assert "goes on in the background" in caught.value.__notes__[0]
    lowered.gate.set()
    assert making.result() == "executable"


def _exported(folder: Path) -> Any:
    _model().export(folder / "m.stablehlo")
    return kgraph.export.load(folder / "m.stablehlo")


@pytest.mark.parametrize("call", ["eager", "training", "exported"])
def test_what_a_call_compiles_can_be_left_as_well(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = _model()
    use = {
        "eager": lambda: model(X),
        "training": lambda: model(X, training=True),
        "exported": partial(_exported(tmp_path), X),
    }[call]
    model.get_weights()
    going, gate = threading.Event(), threading.Event()
    compiled: list[Any] = []
    compile_now = jax.stages.Lowered.compile

    def slowly(lowered: Any, *args: Any) -> Any:
        press_when_main_waits(going)
        assert gate.wait(60)
        compiled.append(compile_now(lowered, *args))
        return compiled[-1]

    monkeypatch.setattr(jax.stages.Lowered, "compile", slowly)
    going.set()
    with pytest.raises(KeyboardInterrupt) as caught:
        use()
    assert "goes on in the background" in caught.value.__notes__[0]
    assert not compiled
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    gate.set()
    assert np.all(np.isfinite(use()))
    assert len(compiled) == 1  # what was left is what the next call has


def _press_main() -> None:
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, signal.SIGINT)


@pytest.mark.parametrize("in_c", [False, True])
def test_ctrl_c_that_cannot_be_heard_is_told_of(
    in_c: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(unheard, "PATIENCE", 0.1)
    timer = threading.Timer(0.05, _press_main)
    with pytest.raises(KeyboardInterrupt), held():
        timer.start()
        if in_c:  # no handler runs, as while XLA is at work
            hashlib.pbkdf2_hmac("sha256", b"", b"", 1_200_000)
        else:  # the handler runs, and Ctrl-C waits for the end of the block
            time.sleep(0.6)
    timer.join()
    assert ("cannot be stopped" in capsys.readouterr().err) == in_c
    assert signal.set_wakeup_fd(-1) == -1


def test_what_xla_raises_arrives_and_is_tried_again() -> None:
    class Refused:
        def compile(self, options: Any) -> Any:
            raise RuntimeError("out of memory")

    making = Making(Refused(), None)
    with pytest.raises(RuntimeError, match="out of memory"):
        making.result()
    assert making.has_failed


def test_a_thread_of_data_ends_when_ctrl_c_comes_while_it_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            next(ahead(iter(range(10)), int))
    for thread in threading.enumerate():
        if thread.name == "kgraph-data":
            thread.join(30)
            assert not thread.is_alive()


def test_ctrl_c_is_heard_while_data_are_waited_for() -> None:
    def items() -> Iterator[int]:
        yield 1
        press()
        yield 2

    with pytest.raises(KeyboardInterrupt), held():
        for item in listening(items()):
            assert item == 1


def test_a_checkpoint_keeps_its_lock_while_it_writes_though_close_was_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    going, gate, finish = threading.Event(), threading.Event(), step_files.StepWriter.finish

    def slow(self: Any, *args: Any) -> None:
        press_when_main_waits(going)
        assert gate.wait(60)
        finish(self, *args)

    monkeypatch.setattr(step_files.StepWriter, "finish", slow)
    checkpoint = Checkpoint(tmp_path)
    checkpoint.save(1, {"w": X}, {})
    with pytest.raises(KeyboardInterrupt):
        going.set()
        checkpoint.close()
    with pytest.raises(StateError, match="another writer"):
        Checkpoint(tmp_path).open()
    gate.set()
    checkpoint.wait()
    assert checkpoint.steps() == [1]
    with Checkpoint(tmp_path) as other:  # the lock is free
        assert other.steps() == [1]
    with checkpoint:
        checkpoint.restore()
