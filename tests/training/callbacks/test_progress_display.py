"""Progress: what it prints where, how often it asks for metrics, and what it survives."""

from __future__ import annotations

import contextlib
import fcntl
import io
import itertools
import logging
import os
import pty
import re
import struct
import sys
import termios
import threading
from types import SimpleNamespace

import keras
import pytest
from tqdm import tqdm

from kgraph.errors import ConfigError
from kgraph.training import compilation, pace
from kgraph.training.callbacks import CallbackList, ProgbarLogger
from kgraph.training.console import announce
from kgraph.training.progress import Progress, format_number


class Terminal(io.StringIO):
    """Shows what a terminal would: a carriage return goes back to the start of the line."""

    def isatty(self) -> bool:
        return True

    def screen(self) -> list[str]:
        lines = []
        for line in self.getvalue().split("\n"):
            cells: list[str] = []
            for part in line.split("\r"):
                cells[: len(part)] = part
            lines.append("".join(cells).rstrip())
        return lines


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


LOGS = {"accuracy": 0.90349, "loss": 0.343, "val_loss": 0.0005}


def run(verbose, stream, epochs=2, steps: int | None = 750, seconds=0.004, count=750):
    """Runs epochs of `count` steps, the first of 1 s; returns when the logs were read."""
    clock, reads = Clock(), []

    def logs():
        reads.append(clock.now)
        return {"loss": 0.5}

    with Progress(verbose, epochs, steps, stream, clock) as progress:
        for epoch in range(epochs):
            progress.epoch_begin(epoch)
            clock.now += 1.0
            for step in range(1, count + 1):
                clock.now += seconds if step > 1 else 0.0
                progress.update(step, logs)
            progress.epoch_end(dict(LOGS))
    return reads


def test_a_file_gets_one_plain_line_per_epoch():
    stream = io.StringIO()
    reads = run("auto", stream)
    numbers = "accuracy: 0.9035 - loss: 0.3430 - val_loss: 5.0000e-04"
    line = f"750/750 - 4s - 4ms/step - {numbers}\n"
    assert stream.getvalue() == f"Epoch 1/2\n{line}Epoch 2/2\n{line}"
    assert reads == []


def test_a_bar_asked_for_on_a_file_is_drawn_once_per_epoch():
    stream = io.StringIO()
    assert run(1, stream, epochs=1) == []
    bar = "━" * 20
    assert stream.getvalue().startswith(f"750/750 {bar} 4s 4ms/step - accuracy: 0.9035 - loss")
    assert stream.getvalue().count("\n") == 1
    assert "\r" not in stream.getvalue()


def test_verbose_2_on_a_terminal_is_one_line():
    stream = Terminal()
    run(2, stream, epochs=1)
    assert stream.getvalue().startswith("750/750 - 4s - 4ms/step - accuracy")
    assert "\r" not in stream.getvalue()


def test_verbose_0_prints_nothing_and_reads_nothing():
    stream = Terminal()
    assert run(0, stream) == []
    assert stream.getvalue() == ""


def test_a_terminal_is_redrawn_twice_a_second_and_keeps_the_final_lines():
    stream = Terminal()
    reads = run("auto", stream)
    assert len(reads) > 8
    assert min(b - a for a, b in itertools.pairwise(reads)) >= 0.5
    assert re.search(r"\r *\d+/750 ━+ +\d+s 4ms/step - loss: 0.5000", stream.getvalue())
    final = f"750/750 {'━' * 20} 4s 4ms/step - accuracy: 0.9035 - loss: 0.3430 - val_loss: 5.0"
    shown = stream.screen()
    assert [line[: len(final)] for line in shown] == ["Epoch 1/2", final, "Epoch 2/2", final, ""]


class Cell:
    """The output of a cell of a notebook: what was written, and displays by their last state."""

    def __init__(self, monkeypatch, kernel) -> None:
        shell = SimpleNamespace(kernel=kernel)
        ipython = SimpleNamespace(get_ipython=lambda: shell)
        monkeypatch.setitem(sys.modules, "IPython", ipython)
        monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=self.display))
        stream = SimpleNamespace(write=self.write, flush=lambda: None, isatty=lambda: False)
        monkeypatch.setattr(sys, "stdout", stream)
        self.outputs: list[str] = []
        self.updates = 0

    def write(self, text) -> None:
        self.outputs += [text.strip()] if text.strip() else []

    def display(self, data, raw, display_id):
        place = len(self.outputs)
        self.outputs.append(data["text/plain"])

        def update(data, raw) -> None:
            self.updates += 1
            self.outputs[place] = data["text/plain"]

        return SimpleNamespace(update=update)


def test_in_a_notebook_an_output_is_replaced_and_the_last_state_stays(monkeypatch):
    cell = Cell(monkeypatch, kernel=object())
    run("auto", None)
    assert cell.updates > 8
    final = (
        f"750/750 {'━' * 20} 4s 4ms/step - accuracy: 0.9035 - loss: 0.3430 - val_loss: 5.0000e-04"
    )
    assert cell.outputs == ["Epoch 1/2", final, "Epoch 2/2", final]
    run("auto", other := io.StringIO(), epochs=1)
    assert other.getvalue().startswith("750/750 - 4s")


def test_where_ipython_has_no_kernel_there_is_a_line_per_epoch(monkeypatch):
    cell = Cell(monkeypatch, kernel=None)
    run("auto", None, epochs=1)
    assert len(cell.outputs) == 1
    assert cell.outputs[0].startswith("750/750 - 4s")


def test_a_cell_of_unknown_length_that_is_interrupted_keeps_how_far_it_came(monkeypatch):
    cell, clock = Cell(monkeypatch, kernel=object()), Clock()
    with Progress("auto", 1, None, None, clock) as progress:
        progress.note("compiling 1 s")
        progress.update(3, dict)
    assert cell.outputs == ["3/Unknown 0s (compiling 1 s)"]


def test_a_live_line_is_cut_to_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    stream = Terminal()
    run(1, stream, epochs=1)
    drawn = [line for line in re.split(r"[\r\n]", stream.getvalue()) if "accuracy" not in line]
    assert 30 < max(map(len, drawn)) <= 40


@pytest.mark.parametrize("verbose", [1, 2])
def test_unknown_lengths_end_with_the_count(verbose):
    stream = Terminal()
    run(verbose, stream, epochs=1, steps=None, count=500)
    assert stream.screen()[0].startswith("500/500 ")
    if verbose == 1:
        assert "/Unknown 1s" in stream.getvalue()


def test_an_epoch_that_was_cut_short_shows_how_far_it_came():
    stream = io.StringIO()
    run(1, stream, epochs=1, count=75)
    assert stream.getvalue().startswith(" 75/750 ━━                   1s")


def test_a_note_is_shown_at_once_and_stays_on_the_line_of_the_epoch():
    stream, clock = Terminal(), Clock()
    with Progress(1, 1, 10, stream, clock) as progress:
        progress.epoch_begin()
        progress.note("compiling 4.2 s")
        assert "(compiling 4.2 s)" in stream.screen()[-1]
        progress.epoch_end({"loss": 1.0})
        progress.epoch_begin()
        progress.epoch_end({"loss": 1.0})
    first, second, rest = stream.screen()
    assert first.endswith("loss: 1.0000 (compiling 4.2 s)")
    assert second.endswith("loss: 1.0000")
    assert rest == ""


def test_an_interrupt_leaves_a_fresh_line():
    stream, clock = Terminal(), Clock()
    progress = Progress(1, 1, 10, stream, clock)

    def interrupted():
        with progress:
            progress.epoch_begin()
            clock.now += 1
            progress.update(3, lambda: {"loss": 0.5})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert stream.getvalue().endswith("\n")
    assert stream.screen()[0].startswith("3/10 ━━━━━━")
    progress.close()
    assert stream.getvalue().count("\n") == 1


@pytest.mark.parametrize("kind", [io.StringIO, Terminal])
def test_a_closed_stream_ends_the_display_and_not_the_training(kind):
    class Closing(kind):
        def write(self, text: str) -> int:
            if self.tell() > 200:
                self.close()
            return super().write(text)

    stream = Closing()
    run("auto", stream, epochs=6)
    assert stream.closed
    run("auto", stream)


def test_a_broken_pipe_and_a_missing_stream_are_survived(monkeypatch):
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    run(1, Broken())
    monkeypatch.setattr(sys, "stdout", None)
    run("auto", None)


def test_an_error_of_the_metrics_is_not_taken_for_one_of_the_stream():
    clock = Clock()
    progress = Progress(1, 1, 10, Terminal(), clock)
    clock.now += 1

    def broken():
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        progress.update(1, broken)


def test_a_stream_that_cannot_write_the_bar_gets_plain_characters():
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    run(1, stream, epochs=1)
    stream.seek(0)
    assert stream.read().startswith("750/750 ==================== 4s")


@pytest.mark.parametrize(
    "value", [0.5, 1.0, 1234.56789, 1e-3, 0.0011, 5e-7, 0.0, -0.5, float("nan")]
)
def test_numbers_look_as_in_keras(value, capsys):
    keras.utils.Progbar(1).update(1, [("loss", value)])
    assert capsys.readouterr().out.rstrip().endswith(f"loss: {format_number(value)}")


@pytest.mark.parametrize(("seconds", "count"), [(2.0, 4), (0.02, 40), (5e-5, 400), (0.0, 1)])
@pytest.mark.parametrize("verbose", [1, 2])
def test_the_final_line_is_that_of_keras(verbose, seconds, count, capsys, monkeypatch):
    stream, clock = io.StringIO(), Clock()
    monkeypatch.setattr(keras.src.utils.progbar.time, "time", clock)
    progress = Progress(verbose, 1, count, stream, clock)
    theirs = keras.utils.Progbar(count, verbose=verbose, stateless_metrics=[])
    progress.epoch_begin()
    for step in range(1, count + 1):
        clock.now += 1.0 if step == 1 else seconds
        progress.update(step, dict)
        theirs.update(step, [("loss", 0.5)], finalize=False)
    theirs.update(count, [("loss", 0.25)], finalize=True)
    progress.epoch_end({"loss": 0.25})
    printed = re.sub(r"\x1b\[\d+m|\x08", "", capsys.readouterr().out)
    last = printed.rstrip().split("\r")[-1].split("\n")[-1]
    assert stream.getvalue().rstrip() == last.rstrip()


def test_announcements_do_not_run_into_the_live_line(monkeypatch):
    stream, clock = Terminal(), Clock()
    monkeypatch.setattr(sys, "stdout", stream)
    with Progress("auto", 1, 10, None, clock) as progress:
        progress.note("compiling")
        announce("Epoch 1: early stopping")
        clock.now += 1
        progress.update(5, dict)
    assert stream.screen()[0] == "Epoch 1: early stopping"
    assert stream.screen()[1].startswith("5/10")


def as_terminal(monkeypatch) -> Terminal:
    """Returns a terminal that is stdout and stderr from now on."""
    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", stream)
    return stream


def final(terminal) -> list[str]:
    """Returns the lines that a terminal shows in the end, where tqdm has moved up and down."""
    rows, row, column = [""], 0, 0
    for part in re.split(r"(\r|\n|\x1b\[A)", terminal.getvalue()):
        if part == "\n":
            row += 1
            rows += [""] * (row == len(rows))
            column = 0
        elif part == "\x1b[A":
            row -= 1
        elif part == "\r":
            column = 0
        else:
            rows[row] = rows[row][:column].ljust(column) + part + rows[row][column + len(part) :]
            column += len(part)
    return [line.rstrip() for line in rows if line.strip()]


def test_what_others_print_and_log_stands_above_the_live_line(monkeypatch):
    terminal = as_terminal(monkeypatch)
    logger = logging.getLogger("others")
    logger.addHandler(handler := logging.StreamHandler(terminal))
    clock = Clock()
    with Progress("auto", 1, 10, None, clock) as progress:
        progress.epoch_begin()
        clock.now += 1
        progress.update(3, dict)
        print("a", 1, end=" ")
        print("whole line")
        logger.error("something")
        print("begun", end="")
        assert sys.stdout is not terminal
        progress.epoch_end()
    assert sys.stdout is sys.stderr is terminal
    assert handler.stream is terminal
    bar = f"{'━' * 6:20}"
    assert [line.strip() for line in final(terminal)] == [
        "a 1 whole line",
        "something",
        f"3/10 {bar} 1s 333ms/step",
        "begun",
    ]
    logger.removeHandler(handler)


def test_a_bar_of_tqdm_around_it_stays_below_what_is_printed(monkeypatch):
    terminal = as_terminal(monkeypatch)
    clock = Clock()
    for _ in tqdm(range(2), file=terminal, bar_format="outer {n_fmt}/{total_fmt}", mininterval=0):
        with Progress("auto", 1, 4, None, clock) as progress:
            progress.epoch_begin()
            for step in range(1, 5):
                clock.now += 1
                progress.update(step, dict)
            progress.epoch_end({"loss": 0.5})
    line = f"4/4 {'━' * 20} 4s 1s/step - loss: 0.5000"
    assert final(terminal) == [line, line, "outer 2/2"]


def test_what_is_printed_before_there_is_a_live_line_stands_above_a_bar_of_tqdm(monkeypatch):
    terminal = as_terminal(monkeypatch)
    for _ in tqdm(range(2), file=terminal, bar_format="outer {n_fmt}/{total_fmt}", mininterval=0):
        with Progress("auto", 1, 4, None, Clock()) as progress:
            progress.epoch_begin()
            print("a callback prints")  # the epoch is over before anything is drawn
            progress.epoch_end({"loss": 0.5})
    line = f"4/4 {'━' * 20} 0s 0s/step - loss: 0.5000"
    assert final(terminal) == ["a callback prints", line] * 2 + ["outer 2/2"]
    assert sys.stdout is terminal


def test_two_trainings_in_threads_have_a_line_each(monkeypatch):
    terminal = as_terminal(monkeypatch)
    clock, both = Clock(), threading.Barrier(2, timeout=60)

    def train(name):
        with Progress("auto", 1, 4, None, clock) as progress:
            progress.epoch_begin()
            progress.note(name)
            both.wait()
            print(f"{name} prints")
            progress.update(4, dict)
            both.wait()
            progress.epoch_end()

    threads = [threading.Thread(target=train, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    line = f"4/4 {'━' * 20} 0s 0s/step"
    found = sorted(final(terminal))
    assert found == [f"{line} (one)", f"{line} (two)", "one prints", "two prints"]
    assert sys.stdout is terminal


class Device:
    """A device that needs `seconds` for a step, with a clock that runs while somebody waits."""

    def __init__(self, seconds: float) -> None:
        self.now, self.free, self.seconds = 100.0, 0.0, seconds

    def hand_over(self, steps: int) -> SimpleNamespace:
        self.free = done = max(self.now, self.free) + steps * self.seconds

        def wait() -> None:
            self.now = max(self.now, done)

        return SimpleNamespace(is_ready=lambda: self.now >= done, block_until_ready=wait)


@pytest.mark.parametrize("seconds", [0.0004, 0.004, 0.04, 0.4])
def test_the_time_that_remains_is_right_after_a_twentieth_of_an_epoch(seconds, monkeypatch):
    device, total, done = Device(seconds), int(8 / seconds), 0
    monkeypatch.setattr(pace.time, "perf_counter", lambda: device.now)
    throttle, stream = pace.Throttle(pace.Pace()), Terminal()
    progress = Progress("auto", 1, total, stream, lambda: device.now)
    progress.epoch_begin()
    device.now += 50.0  # of compiling
    progress.skip(50.0)
    told = False
    while done < total:
        size = min(throttle.pace.next_size(), total - done)
        throttle.ready()
        throttle.sent(device.hand_over(size), size)
        done += size
        drawn = len(stream.getvalue())
        progress.update(done - throttle.waiting, dict)
        finished, text = done - throttle.waiting, stream.getvalue()[drawn:]
        if text and finished == 1:
            assert "step" not in text  # nothing is known but the step that compiled
        if text and finished >= max(0.05 * total, 2):
            shown = float(re.search(r" (\d+)s \S+/step", text)[1])  # pyright: ignore
            assert shown == pytest.approx((total - finished) * seconds, rel=0.2, abs=1)
            told = True
    assert told


def test_the_clock_ticks_while_something_is_compiled(monkeypatch):
    monkeypatch.setattr(compilation, "_TICK", 0.01)
    compiler, ticks, enough = compilation.Compiler(), [], threading.Event()

    def notice(entry):
        ticks.append(entry)
        if len(ticks) > 3:
            enough.set()

    def slow(x):
        assert enough.wait(60)
        return x + 1

    with compiler.telling(notice):
        assert compiler.compile("slow", slow, (), (), (1.0,))(1.0) == 2
    assert ticks[:4] == [None] * 4
    assert ticks[-1].function == "slow"
    assert "kgraph-compile-clock" not in [thread.name for thread in threading.enumerate()]


def test_an_unknown_verbosity_is_refused():
    with pytest.raises(ConfigError, match=r"`verbose`[\s\S]*'auto', 0, 1, 2"):
        Progress("loud")  # pyright: ignore[reportArgumentType]


def test_the_callback_shows_the_same_in_a_loop_written_by_hand(capsys):
    told = CallbackList(ProgbarLogger(), verbose=2, epochs=1, steps=4)
    told.on_train_begin()
    told.on_epoch_begin(0)
    for batch in range(4):
        told.on_train_batch_end(batch, {"loss": 0.5})
    told.on_test_begin()
    told.on_test_end({"loss": 9.0})
    told.on_epoch_end(0, {"loss": 0.5})
    told.on_train_end()
    told.on_test_begin()
    told.on_test_end({"loss": 0.25})
    told.on_predict_begin()
    told.on_predict_end()
    shown = re.sub(r"\d+[mu]?s/step", "T/step", capsys.readouterr().out)
    assert shown == (
        "4/4 - 0s - T/step - loss: 0.5000\n4/4 - 0s - T/step - loss: 0.2500\n4/4 - 0s - T/step\n"
    )


def test_a_real_terminal_of_unknown_size_is_drawn_on():
    """Some containers give a terminal of 0 columns and rows, where tqdm alone draws nothing."""
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 0, 0, 0, 0))
    with os.fdopen(side, "w") as stream, Progress("auto", 1, 10, stream) as progress:
        progress.epoch_begin()
        progress.note("compiling 1.0 s")
        progress.epoch_end({"loss": 0.5})
    shown = b""
    with contextlib.suppress(OSError):  # what Linux says at the end
        while chunk := os.read(main, 4096):
            shown += chunk
    os.close(main)
    assert shown.decode().startswith("\r0/10 ")
    assert shown.decode().count("(compiling 1.0 s)") == 2
    assert shown.decode().endswith("loss: 0.5000 (compiling 1.0 s)\r\n")


def test_no_thread_is_started():
    before = threading.active_count()
    run(1, Terminal())
    assert threading.active_count() == before


def test_compiling_counts_for_no_step_before_or_after_it():
    stream, clock = io.StringIO(), Clock()
    with Progress(2, 1, 21, stream, clock) as progress:
        progress.epoch_begin()
        clock.now += 2.0
        progress.skip(2.0)  # the step itself
        progress.update(1, dict)
        clock.now += 1.0 + 0.2
        progress.skip(1.0)  # another form of the step
        progress.update(21, dict)
        clock.now += 3.0
        progress.skip(3.0)  # the evaluation
        progress.epoch_end({"loss": 1.0})
    assert " 6s - 10ms/step" in stream.getvalue()
