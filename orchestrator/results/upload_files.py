"""Numbered files of records that can be uploaded as they are."""

from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct

from orchestrator.atomic import append, own_directory, sync
from orchestrator.results.csv_text import BLANK, header_line, text_of

MOST_BYTES = 4_000_000
"""Bytes of one file; the API takes uploads up to 4 MB."""

_NO_GROUPS = pa.array([], pa.binary())

_Kind = tuple[tuple[str, ...], bool]  # the header, and whether an upload of the file reverses its records


class Lines(Struct, frozen=True):
    """Records of one action as lines of CSV.

    ``uploaded`` has how many bytes of each line are the uploaded cells. ``groups`` has the group of each record, if the
    action has groups.
    """

    whole: pa.Array
    uploaded: pa.Array
    groups: pa.Array | None = None

    def part(self, first: int, length: int | None = None) -> "Lines":
        """``length`` of the records from the place ``first`` on."""
        groups = None if self.groups is None else self.groups.slice(first, length)
        return Lines(self.whole.slice(first, length), self.uploaded.slice(first, length), groups)


class UploadFile(Struct):
    """One file that was written.

    ``plain`` says that it lacks the informational columns, which did not fit. ``reverses`` says that its upload
    takes back what its records are about.
    """

    path: Path
    plain: bool = False
    reverses: bool = False
    records: int = 0
    size: int = 0

    @property
    def remarks(self) -> list[str]:
        """Sentences on what is particular to the file, without its name as their subject."""
        remarks = []
        if self.reverses:
            remarks.append("deletes the revenue schedules that were created, when it is uploaded.")
        if self.plain:
            remarks.append(
                "lacks the columns that start with #: one group and these columns do not fit into 4 MB."
            )
        if self.size > MOST_BYTES:
            remarks.append(
                "is larger than 4 MB, because its group must stay in one file. Put it into a zip before you upload it."
            )
        return remarks

    def write(self, text: bytes | memoryview, records: int = 0) -> None:
        append(self.path, text)
        self.size += len(text)
        self.records += records


class UploadFiles:
    """Writes records of one tenant and one action type to ``folder/STEM-001.csv`` and so on.

    A file has one header. No group is split over two files, and no two actions that use the same group share a file.
    ``more`` are the names of the informational columns behind the uploaded columns.
    """

    def __init__(self, folder: Path, stem: str, more: Sequence[str]) -> None:
        self.files: list[UploadFile] = []
        self._folder = folder
        self._stem = stem
        self._more = more
        self._open: dict[_Kind, UploadFile] = {}
        self._groups: dict[_Kind, pa.Array] = {}  # in each open file

    def add(self, names: tuple[str, ...], parts: Sequence[Lines], *, reverses: bool = False) -> None:
        """Writes some records of one action, in the order of processing.

        ``names`` are those of the uploaded columns. A group is in these records as a whole. Raises OSError.
        """
        size = sum(len(text_of(part.whole)) for part in parts)
        header = header_line(*names, *self._more)
        if len(header) + size > MOST_BYTES:
            self._split(names, parts, reverses=reverses)
            return
        named = _named(parts)
        kind = names, reverses
        file, used = self._open.get(kind), self._groups.get(kind, _NO_GROUPS)
        if file is None or file.size + size > MOST_BYTES or pc.any(pc.is_in(used, value_set=named)).as_py():
            file, used = self._begin(header, reverses=reverses), _NO_GROUPS
        self._open[kind], self._groups[kind] = file, pa.concat_arrays([used, named])
        for part in parts:
            file.write(text_of(part.whole), len(part.whole))

    def sync(self) -> None:
        """Makes the files durable that may still grow; the others are. Raises OSError."""
        for file in self._open.values():
            sync(file.path)

    def _split(self, names: tuple[str, ...], parts: Sequence[Lines], *, reverses: bool) -> None:
        header = header_line(*names, *self._more)
        named: list[bytes] = []
        sizes: list[int] = []
        for part in parts:
            named += [b""] * len(part.whole) if part.groups is None else part.groups.to_pylist()
            sizes += pc.binary_length(part.whole).to_pylist()
        plain = len(header) + max(_totals(sizes, named).values(), default=0) > MOST_BYTES
        if plain:
            header = header_line(*names)
            sizes = [max(size, 2) + 2 for part in parts for size in part.uploaded.to_pylist()]
        for records in _shares(sizes, named, MOST_BYTES - len(header)):
            file = self._begin(header, plain=plain, reverses=reverses)
            end = 0
            for part in parts:
                start, end = end, end + len(part.whole)
                chosen = records[bisect_left(records, start) : bisect_left(records, end)]
                places = pa.array([place - start for place in chosen], pa.int64())
                whole = part.whole.take(places)
                text = _plain(whole, part.uploaded.take(places)) if plain else text_of(whole)
                file.write(text, len(chosen))
            sync(file.path)

    def _begin(self, header: bytes, *, plain: bool = False, reverses: bool = False) -> UploadFile:
        own_directory(self._folder)
        file = UploadFile(self._folder / f"{self._stem}-{len(self.files) + 1:03d}.csv", plain, reverses)
        self.files.append(file)
        file.write(header)
        return file


def _plain(whole: pa.Array, uploaded: pa.Array) -> bytes:
    """The lines without informational cells. A blank line would be no record."""
    lines = zip(whole.to_pylist(), uploaded.to_pylist(), strict=True)
    return b"".join((line[:length] or b'""') + b"\r\n" for line, length in lines)


def _named(parts: Sequence[Lines]) -> pa.Array:
    groups = [part.groups for part in parts if part.groups is not None]
    names = pc.unique(pa.concat_arrays([_NO_GROUPS, *groups]))
    return names.filter(pc.not_equal(names, BLANK))


def _totals(sizes: Sequence[int], groups: Sequence[bytes]) -> dict[bytes, int]:
    """The bytes of each group; a record without a group is none."""
    totals: dict[bytes, int] = {}
    for size, group in zip(sizes, groups, strict=True):
        if group:
            totals[group] = totals.get(group, 0) + size
    return totals


def _shares(sizes: Sequence[int], groups: Sequence[bytes], most: int) -> list[list[int]]:
    """The places of the records of each file, in order; a group is whole, and a file has ``most`` bytes if it can."""
    totals = _totals(sizes, groups)
    shares: list[list[int]] = []
    share_of: dict[bytes, list[int]] = {}
    room = 0
    for place, (size, group) in enumerate(zip(sizes, groups, strict=True)):
        if group in share_of:
            share_of[group].append(place)
            continue
        needed = totals[group] if group else size
        if not shares or needed > room:
            shares.append([])
            room = most
        room -= needed
        shares[-1].append(place)
        if group:
            share_of[group] = shares[-1]
    return shares
