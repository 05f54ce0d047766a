"""Saved files that were cut or flipped since: every bit counts, or changes nothing."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import numpy as np
import pytest
from saved_models import assert_same_weights, dense

from kgraph import saving
from kgraph.errors import ModelFileError


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("good") / "m.kgraph"
    model = dense()
    model.compile("adam", "mse")
    model.train_on_batch(np.ones((2, 4), "float32"), np.ones((2, 2), "float32"))
    model.save(path)
    model.save(f"{path.parent}/folder/")
    return path


def refused(path: Path) -> str:
    with pytest.raises(ModelFileError) as caught:
        saving.load_model(path)
    text = str(caught.value)
    assert len(text) <= 500
    assert all(part.isprintable() for part in text.splitlines())
    return text


def test_missing_folders_and_odd_files(tmp_path: Path):
    assert "does not exist" in refused(tmp_path / "none.kgraph")
    assert "cannot be opened" in refused(tmp_path / "a\0b")
    assert "manifest.json" in refused(tmp_path)
    assert "is no regular file" in refused(Path("/dev/zero"))


def test_a_file_cut_anywhere_is_refused(good: Path, tmp_path: Path):
    data = good.read_bytes()
    cuts = [len(data) * i // 64 for i in range(64)] + [len(data) - n for n in range(1, 33)]
    for size in cuts:
        (tmp_path / "cut.kgraph").write_bytes(data[:size])
        refused(tmp_path / "cut.kgraph")


def _flips(seed: int, count: int, files: list[Path]) -> None:
    """Flips bits in all parts of the files; each is noticed, or the model is the same."""
    numbers = random.Random(seed)
    root = files[0] if len(files) == 1 else files[0].parent
    original = saving.load_model(root)
    found = 0
    for trial in range(count):
        path = files[trial % len(files)]
        data = bytearray(path.read_bytes())
        place, bit = numbers.randrange(len(data)), 1 << numbers.randrange(8)
        data[place] ^= bit
        path.write_bytes(data)
        data[place] ^= bit
        try:
            loaded = saving.load_model(root)
        except ModelFileError:
            found += 1
        else:
            assert_same_weights(original, loaded)
            assert loaded.graph == original.graph, f"seed {seed}, {path.name}, byte {place}"
            assert loaded.get_compile_config() == original.get_compile_config()
        path.write_bytes(data)
    assert found > 0.9 * count


def test_a_flipped_bit_is_found_or_changes_nothing(good: Path, tmp_path: Path):
    (tmp_path / "m.kgraph").write_bytes(good.read_bytes())
    _flips(5, 100, [tmp_path / "m.kgraph"])


def test_a_flipped_bit_in_a_folder_is_found(good: Path):
    _flips(6, 40, sorted((good.parent / "folder").iterdir()))


@pytest.mark.slow
def test_many_flipped_bits(good: Path, tmp_path: Path):
    (tmp_path / "m.kgraph").write_bytes(good.read_bytes())
    _flips(random.randrange(10**9), 1000, [tmp_path / "m.kgraph"])


def test_each_byte_of_the_arrays_is_covered_by_a_digest(good: Path, tmp_path: Path):
    data = bytearray(good.read_bytes())
    start = data.index(b"arrays.safetensors") + len(b"arrays.safetensors")
    end = data.index(b"PK\x03\x04", start)
    for place in range(start, end, 7):
        data[place] ^= 4
        (tmp_path / "m.kgraph").write_bytes(data)
        assert "arrays.safetensors" in refused(tmp_path / "m.kgraph")
        data[place] ^= 4


def test_the_expected_digest_decides(good: Path):
    digest = hashlib.sha256(good.read_bytes()).hexdigest()
    assert saving.load_model(good, expect_sha256=digest.upper()).name == "plain"
    with pytest.raises(ModelFileError, match=r"another file than expected[\s\S]*SHA-256 0000"):
        saving.load_model(good, expect_sha256="0" * 64)
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        saving.load_model(good, expect_sha256="latest")
    folder = good.parent / "folder"
    digest = hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()
    assert saving.load_model(folder, expect_sha256=digest).name == "plain"
    with pytest.raises(ModelFileError, match="another file than expected"):
        saving.load_model(folder, expect_sha256="0" * 64)
