"""utils.get_file: hashes, names, and archives that are hostile."""

from __future__ import annotations

import gzip
import hashlib
import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from kgraph.errors import ConfigError, DataError
from kgraph.utils import archives, get_file

CONTENTS = b"some data" * 100


def tar(members, link=None, kind=tarfile.SYMTYPE):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, contents in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(contents)
            archive.addfile(info, io.BytesIO(contents))
        if link is not None:
            info = tarfile.TarInfo("link")
            info.type, info.linkname = kind, link
            archive.addfile(info)
    return file.getvalue()


def tar_of_zeros(size):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        info = tarfile.TarInfo("zeros")
        info.size = size
        archive.addfile(info, io.BytesIO(bytes(size)))
    return file.getvalue()


def zipped(members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, contents in members.items():
            archive.writestr(name, contents)
    return file.getvalue()


def hashes(contents):
    return hashlib.sha256(contents).hexdigest(), hashlib.md5(contents).hexdigest()


def kept(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_file_is_downloaded_once_under_its_own_name(server, cache):
    url = server.offer("words.txt", CONTENTS).url
    path = get_file(origin=url)
    assert Path(path) == cache / "words.txt"
    assert Path(path).read_bytes() == CONTENTS
    assert get_file(origin=url) == path
    assert get_file("other.txt", url, cache_subdir="sub").endswith("home/sub/other.txt")
    assert len(server.requests) == 2
    get_file(origin=url, force_download=True)
    assert len(server.requests) == 3


def test_the_file_can_be_read_by_others(server, cache):
    path = get_file(origin=server.offer("a.txt", CONTENTS).url)
    assert stat.S_IMODE(Path(path).stat().st_mode) & 0o600 == 0o600
    assert kept(cache) == ["a.txt"]


@pytest.mark.parametrize("which", [0, 1], ids=["sha256", "md5"])
def test_hashes_are_checked(server, cache, which):
    url = server.offer("a.bin", CONTENTS).url
    right, name = hashes(CONTENTS)[which], ("sha256", "md5")[which]
    path = get_file(origin=url, file_hash=right)
    Path(path).write_bytes(b"damaged")
    assert Path(get_file(origin=url, file_hash=right.upper())).read_bytes() == CONTENTS
    with pytest.raises(DataError, match=rf"wrong contents[\s\S]*expected  {name} 0000"):
        get_file(origin=url, file_hash="0" * len(right), hash_algorithm=name)
    assert Path(path).read_bytes() == CONTENTS  # what was there stays
    if which:
        assert get_file(origin=url, md5_hash=right) == path


@pytest.mark.parametrize("make", [tar, zipped])
def test_archives_become_folders(server, cache, make):
    contents = make({"top/a.txt": b"A", "top/deep/b.txt": b"B"})
    url = server.offer("data.tgz", contents).url
    folder = Path(get_file(origin=url, extract=True))
    assert folder == cache / "data.tgz"
    assert (folder / "top" / "deep" / "b.txt").read_bytes() == b"B"
    (folder / "mine.txt").write_text("kept")
    get_file(origin=url, extract=True)
    assert (folder / "mine.txt").exists()  # it is not extracted a second time
    assert kept(cache) == sorted(
        ["data.tgz", "data.tgz_archive", *(f"data.tgz/{name}" for name in kept(folder))]
    )
    assert Path(get_file("set.tar.gz", url, extract=True)) == cache / "set_extracted"
    assert (cache / "set.tar.gz").is_file()
    assert Path(get_file("plain", url, extract=True)) == cache / "plain"
    assert (cache / "plain_archive").is_file()


def chained():
    """Returns a tar whose links make a name too long for the checks of a whole path to follow.

    The structure of CVE-2025-4517: folders of long names, each with a short link to it, and a link
    through all of them that ends above; then a file through that link.
    """
    file, path = io.BytesIO(), ""
    with tarfile.open(fileobj=file, mode="w:gz") as archive:

        def add(name, kind, target="", contents=b""):
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, target, len(contents)
            archive.addfile(info, io.BytesIO(contents))

        for letter in "abcdefghijklmnop":
            add(f"{path}{'d' * 247}", tarfile.DIRTYPE)
            add(f"{path}{letter}", tarfile.SYMTYPE, "d" * 247)
            path += f"{'d' * 247}/"
        link = "a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/" + "l" * 254
        add(link, tarfile.SYMTYPE, "../" * 16)
        add("escape", tarfile.SYMTYPE, f"{link}/../owned")
        add("escape", tarfile.REGTYPE, contents=b"x")
    return file.getvalue()


HOSTILE = {
    "long names and links": chained(),
    "a link to itself": tar({"fine.txt": b"1"}, "link"),
    "a link to a folder": tar({"sub/fine.txt": b"1", "sub": b""}, "sub"),
    "a file as a folder": tar({"a": b"1", "a/b": b"2"}),
    "a name too long": zipped({"a" * 300: b"1"}),
    "up in the middle": tar({"a/../../owned": b"x"}),
    "bomb": gzip.compress(tar_of_zeros(4_000_000)),
    "up": tar({"fine.txt": b"1", "../../owned": b"x"}),
    "absolute link": tar({"fine.txt": b"1"}, "/etc/passwd"),
    "link up": tar({"fine.txt": b"1"}, "../../owned"),
    "hard link": tar({"fine.txt": b"1"}, "../../owned", tarfile.LNKTYPE),
    "device": tar({"fine.txt": b"1"}, "", tarfile.CHRTYPE),
    "zip": zipped({"fine.txt": b"1", "../../owned": b"x"}),
    "damaged": tar({"fine.txt": b"12345" * 99})[:-20],
    "no archive": b"hello",
    "no name": zipped({"xy": b"1"}).replace(b"xy", b"\0y"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_archives_leave_nothing(server, cache, tmp_path, kind, monkeypatch):
    monkeypatch.setattr(archives, "SMALL", 1_000_000)
    url = server.offer("data.tgz", HOSTILE[kind]).url
    with pytest.raises(DataError, match="archive"):
        get_file(origin=url, extract=True)
    assert kept(cache) == ["data.tgz_archive"]
    assert not list(tmp_path.rglob("owned"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_a_link_to_a_file_of_the_archive_becomes_a_copy(server, kind):
    url = server.offer("data.tgz", tar({"fine.txt": b"1"}, "fine.txt", kind)).url
    link = Path(get_file(origin=url, extract=True)) / "link"
    assert link.read_bytes() == b"1"
    assert not link.is_symlink()


def test_more_members_than_allowed(server, cache, monkeypatch):
    monkeypatch.setattr(archives, "MOST_MEMBERS", 2)
    url = server.offer("data.tgz", zipped({"a": b"", "b": b"", "c": b""})).url
    with pytest.raises(DataError, match=r"too large[\s\S]*'c'"):
        get_file(origin=url, extract=True)


def test_an_absolute_name_in_a_tar_stays_below_the_folder(server, cache, tmp_path):
    url = server.offer("data.tgz", tar({f"{tmp_path}/owned": b"x"})).url
    folder = Path(get_file(origin=url, untar=True))
    assert not (tmp_path / "owned").exists()
    assert [path.name for path in folder.rglob("owned")] == ["owned"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "needs an address"),
        ({"origin": "file:///etc/passwd"}, r"needs an address[\s\S]*file:///etc"),
        ({"origin": "http://a/"}, "plain name"),
        ({"origin": "http://a/b", "fname": "../b"}, r"plain name[\s\S]*'\.\./b'"),
        ({"origin": "http://a/b", "fname": ".."}, "plain name"),
        ({"origin": "http://a/b", "file_hash": "12"}, r"no hash[\s\S]*received  12"),
        ({"origin": "http://a/b", "hash_algorithm": "sha1"}, "`hash_algorithm`"),
    ],
    ids=str,
)
def test_arguments_that_do_not_fit(arguments, text):
    with pytest.raises(ConfigError, match=text):
        get_file(**arguments)


def test_unknown_formats(server):
    url = server.offer("a.tgz", tar({"a": b"1"})).url
    with pytest.raises(ConfigError, match="not 'rar'"):
        get_file(origin=url, extract=True, archive_format=["tar", "rar"])
    with pytest.raises(DataError, match=r"no archive[\s\S]*expected  zip"):
        get_file(origin=url, extract=True, archive_format="zip")
