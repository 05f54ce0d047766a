"""Files that somebody else made: each fault is one clear error, and nothing happens besides."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from corpus import cases
from drafts import Draft, good_model
from watching import Calls, peak_memory, state, warm, watched

from kgraph import saving
from kgraph.errors import ModelFileError

TABLES = cases()
CASES = {f"{table}: {name}": case for table, own in TABLES.items() for name, case in own.items()}
CALLS, MEMORY = 10**6, 64 * 2**20  # the good file takes 150,000 calls


@pytest.fixture(scope="module")
def draft(tmp_path_factory: pytest.TempPathFactory) -> Draft:
    path = tmp_path_factory.mktemp("good") / "good.kgraph"
    warm()
    good_model().save(path)
    saving.load_model(path)  # so that all modules are there
    return Draft(path)


def test_a_draft_that_was_not_changed_is_the_good_file(draft: Draft, tmp_path: Path):
    path = tmp_path / "m.kgraph"
    path.write_bytes(draft.copy().bytes())
    saving.load_model(path)  # what JAX compiles under this test's settings is in its cache then
    before = state()
    with watched() as events:
        loaded = saving.load_model(path)
    assert events == [("open", f"({str(path)!r},)")]
    assert state() == before
    assert loaded.get_layer("head").count_params() == 14
    assert int(loaded._kgraph.trainer.state()["step"]) == 1


@pytest.mark.parametrize("table", TABLES)
def test_each_file_is_refused_with_one_plain_error(table: str, draft: Draft, tmp_path: Path):
    path = tmp_path / "bad.kgraph"
    wrong = []
    for name, case in TABLES[table].items():
        path.write_bytes(case(draft.copy()))
        fault = what_goes_wrong(path)
        if fault is not None:
            wrong.append(f"{name}: {fault}")
    assert not wrong, "\n".join(wrong)
    assert os.listdir(tmp_path) == ["bad.kgraph"]


def what_goes_wrong(path: Path) -> str | None:
    """Loads a bad file and returns what happens that should not."""
    before, memory, calls = state(), peak_memory(), Calls()
    try:
        with watched() as events, calls:
            saving.load_model(path)
        return "it is loaded"
    except ModelFileError as error:
        found = error
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    checks = {
        f"it takes {calls.count} calls": calls.count < CALLS,
        "it takes memory": peak_memory() - memory < MEMORY,
        "the process is changed": state() == before,
        f"it does {events}": [name for name, _ in events] == ["open"],
    }
    faults = [fault for fault, fine in checks.items() if not fine]
    return "; ".join(faults) or text_fault(found, path)


def text_fault(error: ModelFileError, path: Path) -> str | None:
    """Returns what is wrong with a message, and with those that a traceback shows with it."""
    text = str(error)
    if len(text) > 500 or path.name not in text or "MemoryError" in text or error.path is None:
        return f"the message is {text!r}"
    shown: BaseException | None = error
    while shown is not None:
        if not all(line.isprintable() for line in str(shown).split("\n")):
            return f"the text of the file is shown as it is: {shown!r}"
        shown = shown.__cause__ or (None if shown.__suppress_context__ else shown.__context__)
    return None


PLACES = {
    "classes: layer 'os.system' (str)": ("model.json", "layers.head.class_name", "os.system"),
    "classes: activation 'eval' (str)": ("model.json", "head.config.activation.function", "eval"),
    "options: head.units '2' (str)": ("model.json", "head.config.units", "int"),
    "options: head.use_bias 'false' (str)": ("model.json", "head.config.use_bias", "bool"),
    "options: head.units '-1' (int)": ("model.json", "model.config.layers.head", "-1"),
    "options: head.units '1099511627776' (int)": ("model.json", "model", "another graph"),
    "options: a.dims \"['batch', 2147483648]\" (list)": ("model.json", "a.config.dims[1]", "2**31"),
    "graphs: head: unknown node": ("model.json", "nodes[9].inputs[0]", "nobody"),
    "graphs: head: index -1": ("model.json", "nodes[9].inputs[0]", "-1"),
    "graphs: a circle": ("model.json", "nodes[0].inputs[0]", "before this one"),
    "graphs: a node that only allocates": ("model.json", "nodes[0].inputs", "[]"),
    "array_tables: dtype object": ("manifest.json", "arrays[0].dtype", "object"),
    "array_tables: size 2**31": ("manifest.json", "arrays[0].shape", "2147483648"),
    "array_tables: digest wrong": ("arrays.safetensors", "weights/", "SHA-256"),
    "training: optimizer 'os.system'": ("training.json", "compile", "os.system"),
    "texts: model.json: a key twice": ("model.json", "", "twice"),
    "manifests: another graph, of another version": (
        "model.json",
        "model",
        "load it with kgraph 9.0",
    ),
    "manifests: format_version '1' (int)": ("manifest.json", "format_version", "kgraph that wrote"),
}


@pytest.mark.parametrize("name", PLACES)
def test_the_message_says_where_what_and_what_instead(name: str, draft: Draft, tmp_path: Path):
    path = tmp_path / "bad.kgraph"
    path.write_bytes(CASES[name](draft.copy()))
    with pytest.raises(ModelFileError) as caught:
        saving.load_model(path)
    member, place, text = PLACES[name]
    assert caught.value.path == str(path)
    assert (caught.value.member or "") == member
    assert place in (caught.value.json_path or "")
    assert text in str(caught.value)
