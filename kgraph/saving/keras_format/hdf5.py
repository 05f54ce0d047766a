"""Arrays in an HDF5 file, read one by one: plain numbers behind hard links, and nothing else."""

from __future__ import annotations

import contextlib
import hashlib
import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np

from kgraph.errors import ConfigError
from kgraph.interrupts import held
from kgraph.saving.files.file_error import file_error, refusing
from kgraph.saving.files.host_memory import aligned
from kgraph.saving.files.window import Window
from kgraph.saving.keras_format.hdf5_texts import TextReader

if TYPE_CHECKING:
    import h5py

MAX_OBJECTS = 200_000
MAX_PIECES = 1_000_000
"""How many pieces (chunks, as HDF5 calls them) all arrays of a file may be stored in."""
MAX_DEPTH = 64
MAX_RANK = 32
MAX_EXPANSION = 100
"""How many times larger than what is stored compressed arrays may be, above `FREE_BYTES`."""
FREE_BYTES = 64 * 2**20
FREE_PIECE = 2**20
"""How large a piece may be that is larger than its array."""
_GZIP, _SHUFFLE, _FLETCHER32 = 1, 2, 3
_DIGEST = "kgraph_sha256"
"""The attribute of an array that a file of ours has, and its reader checks; Keras overlooks it."""
_INSTALL = "pip install 'kgraph-jax[keras]', which brings h5py"


@dataclass(frozen=True)
class StoredArray:
    """What the header of one array says. Nothing of it has been read yet.

    Fields:
        path: where it is, `layers/dense/vars/0`.
        shape, dtype: as the file declares them; dtype by name, such as `"float32"`.
    """

    path: str
    shape: tuple[int, ...]
    dtype: str

    def __str__(self) -> str:
        return f"{list(self.shape)} {self.dtype}"


class ArrayFile:
    """An open HDF5 file whose objects have all been checked.

    Args:
        path, member: what is named in errors.
        data: the file, or where it is in another one; closed with this.

    Fields:
        arrays: header of each array by path, in the order of the file.
        groups: paths of the groups.
    """

    def __init__(self, path: Path, member: str | None, data: Window) -> None:
        self.path, self.member = path, member
        self.arrays: dict[str, StoredArray] = {}
        self.groups: set[str] = set()
        self._texts = TextReader(data, max(FREE_BYTES, MAX_EXPANSION * data.size))
        self._stored = self._pieces = 0
        with contextlib.ExitStack() as stack:
            stack.enter_context(data)
            h5py = import_h5py()
            with refusing(path, "holds no HDF5 data that can be read", member=member):
                self._file = stack.enter_context(h5py.File(data, "r"))
            with refusing(path, "holds HDF5 data that is damaged", member=member):
                self._check(data.size)
            self._opened = stack.pop_all()

    def __enter__(self) -> ArrayFile:
        return self

    def __exit__(self, *_: Any) -> None:
        self._opened.close()

    def read(self, path: str) -> np.ndarray:
        """Returns one array, as it is stored. Its header was checked when the file was opened."""
        stored = self.arrays[path]
        with refusing(self.path, "holds an array that cannot be read", member=self.member, at=path):
            array = aligned(stored.shape, self._file[path].dtype)
            if array.size:
                self._file[path].read_direct(array)
            noted = self._texts.one(self._file[path], _DIGEST)
        if noted is not None and noted != _digest(path, array):
            raise self._error("holds an array that is damaged", path, f"SHA-256 {noted}", "another")
        return array.view(jnp.bfloat16) if stored.dtype == "bfloat16" else array

    def text(self, group: str, name: str) -> str | None:
        """Returns a group's attribute that is a text, or None."""
        with refusing(self.path, "holds an attribute that cannot be read", member=self.member):
            return self._texts.one(self._group(group), name)

    def texts(self, group: str, name: str) -> list[str] | None:
        """Returns an attribute that lists texts (split over `name0`, `name1` if it is long)."""
        with refusing(self.path, "holds an attribute that cannot be read", member=self.member):
            return self._texts.many(self._group(group), name)

    def _group(self, path: str) -> h5py.Group:
        return self._file[path] if path else self._file

    # --- checks ----------------------------------------------------------------------------------

    def _check(self, size: int) -> None:
        widths = self._file.id.get_create_plist().get_sizes()
        if widths != (8, 8):
            raise self._error("holds HDF5 data in an unusual form", "", "64 bit addresses", widths)
        declared = sum(self._check_array(path, item) for path, item in self._walk())
        too_large = declared > max(FREE_BYTES, MAX_EXPANSION * size)
        if too_large or self._stored > size:  # pieces may all be one and the same place
            raise self._error("declares more than it can hold", "", f"{size} bytes", declared)

    def _walk(self) -> Iterator[tuple[str, h5py.Dataset]]:
        """Yields the arrays, each under its only path."""
        h5py = import_h5py()
        seen: set[int] = set()
        waiting = [("", self._file, 0)]
        while waiting:
            prefix, group, depth = waiting.pop()
            self.groups.add(prefix)
            if depth > MAX_DEPTH:
                raise self._error("is nested too deep", prefix, MAX_DEPTH, "more")
            for name, place in self._links(prefix, group):
                path = f"{prefix}/{name}" if prefix else name
                if place is None:
                    raise self._error("holds a link", path, "arrays in the file itself", "a link")
                item = group[name]
                if place in seen:
                    raise self._error("holds an object under two names", path, "one name", "two")
                seen.add(place)
                if len(seen) > MAX_OBJECTS:
                    raise self._too_many(path)
                if isinstance(item, h5py.Group):
                    waiting.append((path, item, depth + 1))
                elif isinstance(item, h5py.Dataset):
                    yield path, item
                else:
                    raise self._error("holds what is no array", path, "arrays", type(item).__name__)

    def _links(self, prefix: str, group: h5py.Group) -> list[tuple[str, int | None]]:
        """Returns name and address of what is in a group; no address for what is elsewhere.

        An index may lead to the same place over and over: a file of 400 KB can have more names than
        any memory, so h5py's own iteration is not used. (Asking HDF5 for the address of an object
        makes it go through the whole index, too.)
        """
        hard = import_h5py().h5l.TYPE_HARD
        found: list[tuple[bytes, int | None]] = []

        def add(name: bytes, link: Any) -> bool | None:
            found.append((name, link.u if link.type == hard else None))
            return len(found) > MAX_OBJECTS or None  # True ends it

        group.id.links.iterate(add, info=True)
        if len(found) > MAX_OBJECTS:
            raise self._too_many(prefix)
        return [(name.decode("utf-8"), address) for name, address in found]

    def _stored_bytes(self, path: str, item: h5py.Dataset) -> int:
        """Returns how many bytes of the file an array takes, by its index."""
        sizes: list[int] = []

        def add(piece: Any) -> bool | None:
            sizes.append(piece.size)
            return self._pieces + len(sizes) > MAX_PIECES or None

        if item.chunks is None:
            sizes.append(item.id.get_storage_size())
        else:
            item.id.chunk_iter(add)
        self._pieces += len(sizes)
        if self._pieces > MAX_PIECES:
            raise self._error("holds arrays in too many pieces", path, MAX_PIECES, "more")
        self._stored += sum(sizes)
        return sum(sizes)

    def _check_array(self, path: str, item: h5py.Dataset) -> int:
        """Checks one header and returns the bytes that its array will take."""
        if item.is_virtual or item.external:
            kind = "a virtual array" if item.is_virtual else "an array in another file"
            raise self._error("reaches outside of itself", path, "arrays in the file itself", kind)
        if item.shape is None or len(item.shape) > MAX_RANK:
            raise self._error("holds an array of no known shape", path, "sizes", item.shape)
        dtype = self._dtype(path, item)
        if item.dtype.byteorder == ">":
            raise self._error("holds big-endian numbers", path, "little-endian", item.dtype.str)
        declared = math.prod(item.shape) * item.dtype.itemsize
        if declared >= 2**47:
            raise self._error("declares an array too large for any memory", path, None, item.shape)
        stored = self._stored_bytes(path, item)
        packed = self._check_filters(path, item)
        room = max(stored * MAX_EXPANSION, FREE_BYTES if stored else 0) if packed else stored
        if declared > room:
            raise self._error(
                "declares an array that it does not hold", path, f"{declared} bytes", stored
            )
        piece = math.prod(item.chunks or ()) * item.dtype.itemsize
        if piece > max(declared, FREE_PIECE):  # it is unpacked whole
            raise self._error("stores a small array in huge pieces", path, item.shape, item.chunks)
        self.arrays[path] = StoredArray(path, tuple(int(n) for n in item.shape), dtype)
        return declared

    def _dtype(self, path: str, item: h5py.Dataset) -> str:
        """Returns the name of the dtype; Keras stores bfloat16 as two bytes and an attribute."""
        dtype = item.dtype
        two_bytes = dtype.kind == "V" and dtype.itemsize == 2 and dtype.names is None
        if two_bytes and self._texts.one(item, "dtype") == "bfloat16":
            return "bfloat16"
        if dtype.kind not in "fiub" or dtype.hasobject or dtype.itemsize > 8:
            raise self._error("holds what are no numbers", path, "numbers", dtype)
        return dtype.name

    def _check_filters(self, path: str, item: h5py.Dataset) -> bool:
        """Returns whether an array is compressed; only gzip and shuffle are known."""
        properties = item.id.get_create_plist()
        codes = [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]
        if any(code not in (_GZIP, _SHUFFLE, _FLETCHER32) for code in codes):
            raise self._error("is compressed in a way not known", path, "gzip", f"filters {codes}")
        return _GZIP in codes

    def _too_many(self, path: str) -> Exception:
        return self._error("holds too many objects", path, MAX_OBJECTS, "more")

    def _error(self, what: str, path: str, expected: object, received: object) -> Exception:
        return file_error(
            self.path, what, member=self.member, at=path or None, expected=expected,
            received=received,
        )  # fmt: skip


def write_arrays(arrays: Mapping[str, np.ndarray], names: Mapping[str, str]) -> bytes:
    """Returns an HDF5 file of arrays as bytes, the same for the same arrays.

    Each has HDF5's own checksum, which whatever reads it checks, and a digest.

    Args:
        arrays: by path.
        names: for groups, by path, the `name` that Keras notes beside their arrays.
    """
    h5py = import_h5py()
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for path, name in names.items():
            file.require_group(path).attrs["name"] = name
        for path, array in arrays.items():
            short = array.dtype == jnp.bfloat16
            raw = array.view(np.dtype("V2")) if short else array
            # Scalars and empty arrays have no pieces that a checksum could stand beside.
            item = file.create_dataset(path, data=raw, fletcher32=bool(raw.ndim and raw.size))
            if short:
                item.attrs["dtype"] = "bfloat16"
            item.attrs[_DIGEST] = _digest(path, raw)
    return buffer.getvalue()


def _digest(path: str, array: np.ndarray) -> str:
    """Returns what says whether an array is still the one that was written at this place."""
    digest = hashlib.sha256(f"{path} {array.shape} {array.dtype.str}".encode())
    digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    return digest.hexdigest()


def import_h5py() -> Any:
    """Returns the h5py module.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        with held():
            import h5py
    except ImportError:
        raise ConfigError("Keras' files need h5py, which is not installed", hint=_INSTALL) from None
    return h5py
