"""Logs on a disk that is full: the error names the file and the bytes that it needs."""

import errno
import os

import numpy as np
import pytest

from kgraph import Input, Model, layers
from kgraph.callbacks import CSVLogger, JSONLogger, TensorBoard


class FullFile:
    """A file that can be opened and asked, and not written to."""

    def __init__(self, file):
        self.file = file

    def __getattr__(self, name):
        return getattr(self.file, name)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()

    def write(self, _):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture(params=["csv_logger", "json_logger", "event_file"])
def writes_to_full(request, monkeypatch):
    """The name of a module whose files are all on a full disk."""

    def open_full(path, mode, **options):
        return FullFile(open(path, mode, **options))

    module = f"kgraph.training.callbacks.{request.param}"
    monkeypatch.setattr(f"{module}.open", open_full, raising=False)
    return request.param


def test_a_log_on_a_full_disk(writes_to_full, tmp_path):
    path = tmp_path / "log"
    inputs = Input((2,))
    model = Model(inputs, layers.Dense(1)(inputs))
    model.compile("sgd", "mse")
    callback = {
        "csv_logger": CSVLogger, "json_logger": JSONLogger, "event_file": TensorBoard,
    }[writes_to_full](str(path))  # fmt: skip
    with pytest.raises(OSError, match=r"it needs \d+ bytes: '.*log.*'") as caught:
        model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0, callbacks=[callback])
    assert caught.value.errno == errno.ENOSPC
    assert model.predict(np.ones((1, 2)), verbose=0).shape == (1, 1)
