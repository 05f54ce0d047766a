"""What a user sees when something goes wrong: their own lines, one message, nothing of ours."""

import linecache
import statistics
import sys
import traceback
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from IPython.core.compilerop import CachingCompiler
from IPython.core.ultratb import AutoFormattedTB
from misuses import HEAD, MISUSES

import kgraph as keras
from kgraph import config, layers
from kgraph.errors import CallError

PACKAGE = str(Path(keras.__file__).parent)


@pytest.fixture(autouse=True)
def _filtered():
    config.enable_traceback_filtering()  # conftest.py turns it off


def error_of(name: str, program: str) -> BaseException:
    """Returns what a program raises, with the traceback that its user sees."""
    text, file = HEAD + program, f"{name}.py"
    linecache.cache[file] = (len(text), None, text.splitlines(True), file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            exec(compile(text, file, "exec"), {"__name__": "users"})
        except BaseException as error:
            trace = error.__traceback__
            return error.with_traceback(trace and trace.tb_next)  # without this file's own frame
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize("name", MISUSES)
def test_a_misuse_gets_one_short_and_whole_message(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    case = MISUSES[name]
    error = error_of(name, case.program)
    text = "".join(traceback.format_exception(error))
    assert type(error).__name__ == case.error
    assert case.what in str(error).partition("\n")[0]
    for fact in case.facts.split():
        assert f"\n  {fact:<8}  " in str(error), fact
    lines = [line for line in text.splitlines() if line.strip(" ~^")]
    assert len(lines) <= case.lines
    assert f'File "{name}.py"' in text
    assert f'File "{PACKAGE}' not in text


def test_half_of_the_misuses_print_at_most_eight_lines():
    assert len(MISUSES) >= 60
    assert statistics.median(case.lines for case in MISUSES.values()) <= 8


def test_in_a_notebook_a_wrong_target_prints_at_most_fifteen_lines():
    error = error_of("cell", MISUSES["wrong targets"].program)
    shown = AutoFormattedTB(mode="Context")
    lines = shown.structured_traceback(type(error), error, error.__traceback__)
    assert len("\n".join(lines).splitlines()) <= 15


def test_cells_of_a_notebook_are_told_apart(monkeypatch):
    compiler = CachingCompiler()
    shell = SimpleNamespace(compile=compiler)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    names: dict = {"layers": layers, "keras": keras}

    def run(number, code):
        exec(compile(code, compiler.cache(code, number), "exec"), names)

    run(3, "inputs = keras.Input((4, 4))")
    with pytest.raises(keras.errors.GraphError) as caught:
        run(5, "\nlayers.Add()([inputs, keras.Input((5, 4))])")
    assert "\n  at        In [5]:2  layers.Add()(" in str(caught.value)
    assert "In [3]:1  inputs = keras.Input(" in str(caught.value)


def model() -> keras.Model:
    inputs = keras.Input((4,))
    made = keras.Model(inputs, layers.Dense(1)(inputs))
    made.compile("sgd", "mse")
    return made


def test_without_the_filter_all_frames_and_causes_are_there():
    config.disable_traceback_filtering()
    assert not config.is_traceback_filtering_enabled()
    with pytest.raises(keras.errors.DataError) as caught:
        model().fit(np.zeros((8, 4)), np.zeros((8, 3)), verbose=0)
    frames = traceback.extract_tb(caught.value.__traceback__)
    assert any(frame.filename.startswith(PACKAGE) for frame in frames)


def test_an_error_of_a_user_inside_keeps_its_class_and_all_frames_of_the_user():
    def loss(y_true, y_pred):
        return helper(y_pred)

    def helper(y_pred):
        raise ZeroDivisionError("mine")

    made = model()
    made.compile("sgd", loss)
    with pytest.raises(ZeroDivisionError, match="mine") as caught:
        made.fit(np.zeros((8, 4)), np.zeros((8, 1)), verbose=0)
    names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert names[-2:] == ["loss", "helper"]
    assert not getattr(caught.value, "__notes__", None)


def test_what_led_to_an_error_is_kept_where_the_message_does_not_tell_it():
    class Mine(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            try:
                raise OSError("the disk is gone")
            except OSError as error:
                raise RuntimeError("no more epochs") from error

    with pytest.raises(RuntimeError, match="no more") as caught:
        model().fit(np.zeros((8, 4)), np.zeros((8, 1)), callbacks=[Mine()], verbose=0)
    assert str(caught.value.__cause__) == "the disk is gone"
    assert caught.value.__cause__.__traceback__ is not None


def test_a_fault_inside_kgraph_says_how_to_see_it(monkeypatch):
    made = model()
    monkeypatch.delattr(type(made._kgraph.trainer), "require_compiled")
    with pytest.raises(AttributeError) as caught:
        made.fit(np.zeros((8, 4)), np.zeros((8, 1)))
    assert "disable_traceback_filtering" in caught.value.__notes__[-1]


def test_arguments_that_a_method_does_not_take_are_named_with_the_nearest():
    with pytest.raises(CallError, match=r"'epoch'[\s\S]*did you mean 'epochs'"):
        model().fit(epoch=3)
    with pytest.raises(TypeError, match=r"missing a required argument: 'units'"):
        layers.Dense()


def test_a_data_frame_with_texts_is_refused_by_the_names_of_their_columns():
    class Kind:
        def __init__(self, kind):
            self.kind = kind

    types = {"age": Kind("f"), "town": Kind("O")}

    class Frame:  # as pandas has it
        shape, dtypes = (2, 2), types

        def __array__(self, *_, **__):
            return np.array([[1.0, "Ulm"], [2.0, "Jena"]], object)

    with pytest.raises(keras.errors.DataError, match=r"no numbers in its columns 'town'"):
        model().fit(Frame(), np.zeros((2, 1)), verbose=0)
