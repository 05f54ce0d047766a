"""Every writer of the library on a disk that is full: path and bytes are named, the old file stays.

The system refuses files of more than `LIMIT` bytes, which is what a full disk does to real writes.
"""

from __future__ import annotations

import ast
import contextlib
import errno
import functools
import http.server
import resource
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import saving_child
from saving_child import model_of

import kgraph
from kgraph import utils, visualization
from kgraph.callbacks import CSVLogger, History, JSONLogger, ModelCheckpoint, TensorBoard
from kgraph.datasets.download import download
from kgraph.errors import DataError
from kgraph.forecast import child
from kgraph.forecast.executable import write_executable
from kgraph.saving.in_memory import model_from_bytes, model_to_bytes
from kgraph.saving.kgraph_format.own_state import load_assets

pytestmark = pytest.mark.filterwarnings(
    # After a failure, threads of Orbax find their event loop closed; nobody can catch it.
    "ignore::pytest.PytestUnraisableExceptionWarning"
)

LIMIT = 100
SMALL = np.linspace(0, 255, 12 * 12 * 3).reshape(12, 12, 3)
LONG = "accuracy" * 30


class _WithAssets(kgraph.layers.Layer):
    def load_assets(self, folder: str) -> None:
        raise AssertionError("its file could not be written")


def _history() -> History:
    history = History()
    history.on_train_begin()
    history.on_epoch_end(0, {"loss": 1.0})
    return history


def _log(callback: Any) -> None:
    callback.set_model(model_of(1))
    callback.on_train_begin()
    callback.on_epoch_begin(0)
    callback.on_epoch_end(0, {LONG: 0.5, "loss": 0.25})


def _assets(path: Path) -> None:
    load_assets([("place", _WithAssets())], {f"assets/place/{path.name}": bytes(2 * LIMIT)})


SAVES = {
    name: lambda path: saving_child.write(model_of(2), str(path))
    for name in ("m.kgraph", "m.keras", "m.weights.h5", "m.safetensors", "m.stablehlo", "steps")
}
WRITERS: dict[str, Callable[[Path], object]] = {
    **SAVES,
    "folder": lambda path: model_of(2).save(f"{path}/"),
    "best.kgraph": lambda path: _log(ModelCheckpoint(path)),
    "log.csv": lambda path: _log(CSVLogger(path)),
    "log.jsonl": lambda path: _log(JSONLogger(path)),
    "events": lambda path: _log(TensorBoard(path)),
    "model.svg": lambda path: utils.plot_model(model_of(1), path),
    "model.html": lambda path: utils.plot_model(model_of(1), path),
    "curves.png": lambda path: _history().plot(path),
    "curves.pdf": lambda path: _history().plot(path),
    "confusion.png": lambda path: visualization.plot_confusion_matrix([0, 1], [0, 1], path=path),
    "gallery.png": lambda path: visualization.plot_image_gallery(SMALL[None], path=path),
    "image.png": lambda path: utils.save_img(path, SMALL),
    "image.jpg": lambda path: utils.save_img(str(path), SMALL),
    "step.bin": lambda path: write_executable(path, "a step", bytes(2 * LIMIT)),
    "text": lambda path: child._write(path, bytes(2 * LIMIT)),
    "asset": _assets,
}
"""What writes, by the name of what is written."""

PLACES = {
    "writing": "model.svg", "saving/files/stored_zip": "m.kgraph",
    "saving/keras_format/weights_file": "m.weights.h5", "saving/weights": "m.safetensors",
    "saving/kgraph_format/folder": "folder", "saving/checkpoints/step_files": "steps",
    "saving/checkpoints/places": "steps",
    "saving/checkpoints/orbax_arrays": "steps", "saving/files/lock": "folder",
    "training/callbacks/csv_logger": "log.csv", "training/callbacks/json_logger": "log.jsonl",
    "training/callbacks/event_file": "events", "visualization/figures": "curves.png",
    "utils/images": "image.png", "forecast/child": "text",
    "saving/kgraph_format/processes": "a note of bytes in the workshop of a folder, of `naming`",
    "saving/keras_format/hdf5": "writes to memory",
    "saving/keras_format/sharded": "by replace_file, as m.weights.h5",
    "datasets/download": "test_a_download_that_does_not_fit",
    "utils/archives": "test_an_archive_that_does_not_fit_names_the_member_and_its_bytes",
}  # fmt: skip
"""Where the library writes, and what here shows it."""


@contextlib.contextmanager
def small_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "writer.lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_named_with_path_and_bytes(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name in SAVES or name == "folder":
        saving_child.write(model_of(1), str(path) + "/" * (name == "folder"))
    elif name not in ("events", "asset"):
        path.write_bytes(b"old")
    before = _contents(tmp_path)
    if name == "log.jsonl":
        path.write_text("")
    told = pytest.raises(OSError, match=r"File too large.* needs [\d,]+ bytes")
    with small_files(), told as raised:
        WRITERS[name](path)
    assert raised.value.errno == errno.EFBIG
    assert name in str(raised.value.filename)
    assert ".kgraph-saving" not in str(raised.value)
    if name not in ("log.csv", "log.jsonl", "events", "text"):
        assert _contents(tmp_path) == before


def test_a_model_in_memory_that_has_no_room_on_the_disk(tmp_path: Path) -> None:
    contents = model_to_bytes(model_of(1))
    with small_files():
        with pytest.raises(OSError, match=r"File too large: it needs 36\d,\d{3} bytes"):
            model_to_bytes(model_of(2))
        with pytest.raises(OSError, match=rf"File too large: it needs {len(contents):,} bytes"):
            model_from_bytes(contents)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serves the folder `served`."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (tmp_path / "served").mkdir()
    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    handler = functools.partial(
        http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "served")
    )
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_a_download_that_does_not_fit(server: str, tmp_path: Path) -> None:
    (tmp_path / "served" / "data.bin").write_bytes(bytes(12_345))
    target = tmp_path / "kept" / "data.bin"
    target.parent.mkdir()
    target.write_bytes(b"old")
    told = pytest.raises(OSError, match=r"too large: it needs 12,345 bytes: ")
    with small_files(), told as raised:
        download(f"{server}/data.bin", target, None, "data.bin")
    assert raised.value.filename == str(target)
    assert _contents(target.parent) == {"data.bin": b"old"}


def test_an_archive_that_does_not_fit_names_the_member_and_its_bytes(
    server: str, tmp_path: Path
) -> None:
    (tmp_path / "large").write_bytes(bytes(12_345))
    with tarfile.open(tmp_path / "served" / "a.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "large", "folder/large")
    utils.get_file("a.tar.gz", f"{server}/a.tar.gz", cache_dir=tmp_path)
    with small_files(), pytest.raises(DataError, match=r"needs 12,345 bytes: 'folder/large'"):
        utils.get_file("a.tar.gz", f"{server}/a.tar.gz", cache_dir=tmp_path, extract=True)


def _writes(call: ast.Call) -> bool:
    """Tells whether a call writes a file by itself."""
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    arguments = (*call.args, *(keyword.value for keyword in call.keywords))
    modes = [each.value for each in arguments if isinstance(each, ast.Constant)]
    if name in ("open", "File", "ZipFile", "fdopen"):
        return any(mode in ("w", "a", "x", "wb", "ab", "xb", "a+", "w+", "r+b") for mode in modes)
    pillow = name == "save" and any(keyword.arg == "format" for keyword in call.keywords)
    return pillow or name in ("write_bytes", "write_text", "savefig", "tofile", "mkstemp")


def test_every_place_that_writes_is_in_the_table() -> None:
    root = Path(kgraph.__file__).parent
    found = {
        path.relative_to(root).with_suffix("").as_posix()
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and _writes(node)
    }
    assert found == PLACES.keys()
