"""The response file of a mass action: a zip with one CSV, read as a stream. Nothing in it is trusted.

    path ─► _Guarded ─► zipfile ─► Contents ─► lines ─► csv ─► (number, verdict, cells)
            what zipfile may        size, ratio,  length of
            hold at once            CRC, NULs     one record

A file that is damaged, hostile or of an unknown form raises :class:`BadResponseFile` in any stage. It costs a few MiB
of memory at most (tens for a record made of commas alone). Names inside the zip are never paths. All of it blocks:
call it from a thread.
"""

import csv
import io
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Literal, cast

from orchestrator.errors import MassStopError, StorageError
from orchestrator.model import Records

Verdict = Literal["succeeded", "failed", "unprocessed"]
Row = tuple[int, Verdict, list[str]]

_MIB = 1 << 20
CHUNK = 1 << 16  # bytes asked of the zip at a time
_DIRECTORY = 1 << 17  # the most bytes zipfile may ask for at once; a list of 16 entries has far less
_VERDICTS: dict[str, Verdict] = {"Y": "succeeded", "N": "failed", "": "unprocessed"}

# Everything zipfile and zlib may raise on damaged input. An OSError here is a seek to a place that
# cannot be: errors of the disk itself have become a StorageError in `_Guarded`.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    RuntimeError,  # and NotImplementedError
    ValueError,  # and UnicodeDecodeError
    OverflowError,
)


class BadResponseFile(MassStopError):
    """A response file cannot be used: it is damaged, not what the API documents, or beyond our bounds."""


@dataclass(frozen=True)
class Bounds:
    """The limits of a response file. All are ours and hold while reading; sizes the zip declares are not trusted.

    Attributes:
        compressed: bytes of the zip (the API's own limit is 2,047 MB).
        uncompressed: bytes of the CSV inside.
        ratio: how many times larger than the zip the CSV may be, judged once it is past ``ratio_from`` bytes.
        entries: files and directories in the zip.
        record: characters of one record, line ends and quotes included, and so of one field.
        columns: cells of one record.
    """

    compressed: int = 2_047 * _MIB
    uncompressed: int = 8 * 1024 * _MIB
    ratio: int = 200
    ratio_from: int = 16 * _MIB
    entries: int = 16
    record: int = _MIB
    columns: int = 4_096


DEFAULT_BOUNDS = Bounds()


@dataclass(frozen=True)
class ResponseRows:
    """The CSV of one response file: its ``header`` cells, and by iteration, once, its records.

    A record is ``(number, verdict, cells)``. Its number counts from 1 after the header, without blank lines. Its
    verdict follows from the ``Success`` column, and its cells are unchanged. There may be fewer cells than ``header``
    has, never more. Bytes that are not UTF-8 arrive as surrogates (``surrogateescape``): written the same way they
    come out byte for byte. Iterating raises :class:`BadResponseFile`, possibly after the last record, since only then
    the checksum is known: trust no record before the end.
    """

    header: list[str]
    _records: Iterator[Row]

    def __iter__(self) -> Iterator[Row]:
        return self._records


@contextmanager
def read_rows(path: Path, bounds: Bounds = DEFAULT_BOUNDS) -> Iterator[ResponseRows]:
    """The records of the zip at ``path``; the file is closed when the block ends.

    The ``Success`` column is found whatever its place, case or surrounding spaces. ``Y`` (or ``y``) is succeeded,
    ``N`` failed; blank, or a record too short to have the cell, is unprocessed. Any other value refuses the file: a
    record taken for unprocessed is uploaded again, one taken for succeeded never, so neither is guessed. A file with a
    missing or repeated ``Success`` column, an unclosed quote, NUL bytes or too many cells is refused for the same
    reason. Blank cells past the last column are dropped.

    Raises:
        BadResponseFile: the file cannot be used.
        StorageError: the machine cannot read it.
    """
    with open_csv(path, bounds) as contents:
        # csv's limit is one for the process. It is only ever raised, so that threads cannot get in each other's way;
        # the bound that counts is on the record.
        if csv.field_size_limit() < bounds.record:
            csv.field_size_limit(bounds.record)
        records = _records(contents, bounds)
        with refusing_damage():
            header = next(records, None)
            if header is None:
                raise _bad("is empty: it has not even a header")
            place = success_place(header)
        yield ResponseRows(header, _rows(records, len(header), place))


def count(path: Path, bounds: Bounds = DEFAULT_BOUNDS) -> Records:
    """How many records of the zip at ``path`` succeeded, failed and were not processed. Raises as `read_rows`."""
    with read_rows(path, bounds) as rows:
        seen = Counter(verdict for _, verdict, _ in rows)
    return file_counts(seen["succeeded"], seen["failed"], seen["unprocessed"])


def file_counts(succeeded: int, failed: int, unprocessed: int, held_by_group: int | None = None) -> Records:
    """The counts of a response file. ``held_by_group`` is None if the groups were not read."""
    processed = succeeded + failed
    return Records(
        total=processed + unprocessed,
        processed=processed,
        succeeded=succeeded,
        failed=failed,
        unprocessed=unprocessed,
        source="response_file",
        held_by_group=held_by_group,
    )


def extract_csv(path: Path, destination: BinaryIO, bounds: Bounds = DEFAULT_BOUNDS) -> None:
    """Write the CSV inside the zip at ``path`` to ``destination``, byte for byte, within the same bounds.

    The CSV is not looked into, so a file that `read_rows` refuses for what it says can still be kept. After an
    exception ``destination`` holds a part: write to a temporary file.

    Raises:
        BadResponseFile: the zip cannot be used.
        StorageError: the machine cannot read it. An exception of ``destination`` is passed on.
    """
    with open_csv(path, bounds) as contents:
        while True:
            with refusing_damage():
                chunk = contents.chunk()
            if not chunk:
                return
            destination.write(chunk)


def _rows(records: Iterator[list[str]], width: int, place: int) -> Iterator[Row]:
    with refusing_damage():
        for number, cells in enumerate(records, 1):
            if len(cells) > width:
                if any(cells[width:]):
                    raise _bad(f"has {len(cells)} cells in record {number}, but only {width} columns")
                del cells[width:]
            mark = cells[place] if place < len(cells) else ""
            verdict = _VERDICTS.get(mark) or _VERDICTS.get(mark.strip().upper())
            if verdict is None:
                raise _bad(f"says {mark[:40]!r} under Success in record {number}; expected Y, N or nothing")
            yield number, verdict, cells


def success_place(header: list[str]) -> int:
    """The place of the one ``Success`` column. Raises BadResponseFile."""
    places = [n for n, name in enumerate(header) if name.strip(" \t\r\n\xa0\ufeff").casefold() == "success"]
    if len(places) != 1:
        raise _bad(f"has {len(places) or 'no'} Success columns; expected one")
    return places[0]


def _records(contents: "Contents", bounds: Bounds) -> Iterator[list[str]]:
    """The records of the CSV that are not blank lines, the header among them."""
    spent = 0  # characters since the last record was complete: quoted line ends make records of many lines

    def lines() -> Iterator[str]:
        nonlocal spent
        buffer = io.BufferedReader(contents, CHUNK)
        with io.TextIOWrapper(buffer, "utf-8-sig", "surrogateescape", newline="") as text:
            for line in iter(partial(text.readline, bounds.record + 1), ""):
                spent += len(line)
                if spent > bounds.record:
                    raise _bad(f"has a record of more than {bounds.record:,} characters")
                yield line

    # strict: an unclosed quote would otherwise swallow the rest of the file as one cell
    reader = csv.reader(lines(), strict=True)
    try:
        for cells in reader:
            spent = 0
            if len(cells) > bounds.columns:
                raise _bad(f"has a record of more than {bounds.columns:,} cells")
            if cells:
                yield cells
    except csv.Error as error:
        raise _bad(f"holds no sound CSV up to line {reader.line_num}: {error}") from error


@contextmanager
def open_csv(path: Path, bounds: Bounds) -> Iterator["Contents"]:
    """The bytes of the one CSV in the zip at ``path``."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise StorageError(f"The response file {path} cannot be read: {error.strerror}.") from error
    with file:
        size = file.seek(0, io.SEEK_END)
        if size > bounds.compressed:
            raise _bad(f"is larger than {bounds.compressed:,} bytes")
        with refusing_damage():
            archive = zipfile.ZipFile(_Guarded(file))
        with archive:
            with refusing_damage():
                info = _only_csv(archive, bounds)
                entry = cast("io.BufferedIOBase", archive.open(info))
            with entry:
                yield Contents(entry, info.file_size, size, bounds)


def _only_csv(archive: zipfile.ZipFile, bounds: Bounds) -> zipfile.ZipInfo:
    entries = archive.infolist()
    if len(entries) > bounds.entries:
        raise _bad(f"is a zip of more than {bounds.entries} entries; expected one CSV")
    found = [info for info in entries if _is_csv(info.filename)]
    if len(found) != 1:
        raise _bad(f"is a zip with {len(found) or 'no'} CSV files; expected one")
    info = found[0]
    if info.flag_bits & 0x1:
        raise _bad("is encrypted")
    # zipfile also knows bzip2 and LZMA, but unpacks whole blocks of them: 4 KiB may become 80 MiB in memory.
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _bad(f"is compressed by an unknown method ({info.compress_type})")
    # Later zipfiles refuse overlapping entries, 3.11.7 does not; we do, so that every Python says the same.
    end = info.header_offset + 30 + len(info.orig_filename) + info.compress_size
    starts = [other.header_offset for other in entries if other is not info] + [archive.start_dir]
    if any(info.header_offset <= start < end for start in starts):
        raise _bad("is a zip whose entries overlap")
    return info


def _is_csv(name: str) -> bool:
    """Directories end with a slash; macOS adds a folder and files of its own, named after the real ones."""
    last = name.rpartition("/")[2]
    return last.lower().endswith(".csv") and not last.startswith("._") and not name.startswith("__MACOSX/")


class _Guarded:
    """The zip on disk as zipfile sees it: it reads a list of entries of any declared length at once; here it may not.

    Errors of the machine become StorageError here, where they cannot be mistaken for damage.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, n: int = -1, /) -> bytes:
        try:
            data = self._file.read(n if 0 <= n <= _DIRECTORY else _DIRECTORY + 1)
        except OSError as error:
            raise StorageError(
                f"The response file cannot be read from the disk: {error.strerror}."
            ) from error
        if len(data) > _DIRECTORY:
            raise _bad("is a zip with too long a list of entries; expected one CSV")
        return data


class Contents(io.RawIOBase):
    """The unpacked bytes of one entry, within the bounds. It refuses NULs when read as a file (that is, as text)."""

    def __init__(self, entry: io.BufferedIOBase, size: int, packed: int, bounds: Bounds) -> None:
        self._entry, self._size, self._packed, self._bounds = entry, size, packed, bounds
        self._done = 0

    def chunk(self, n: int = CHUNK) -> bytes:
        """The next bytes, at most ``n``; none at the end, where their number must be the one declared."""
        data = self._entry.read1(min(n, CHUNK))
        self._done += len(data)
        if self._done > self._bounds.uncompressed:
            raise _bad(f"unpacks to more than {self._bounds.uncompressed:,} bytes")
        if self._done > self._bounds.ratio_from and self._done > self._packed * self._bounds.ratio:
            raise _bad(f"unpacks to more than {self._bounds.ratio} times its size")
        if not data and self._done != self._size:
            raise _bad("holds a CSV shorter than the zip says")
        return data

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # BufferedReader gives a memoryview
        data = self.chunk(len(buffer))
        if b"\0" in data:
            raise _bad("holds a CSV with NUL bytes: damaged, or UTF-16")
        buffer[: len(data)] = data
        return len(data)


@contextmanager
def refusing_damage() -> Iterator[None]:
    """Turns what the libraries raise on damaged input into our sentence. Never put a caller's code inside."""
    try:
        yield
    except _DAMAGE as error:
        raise _bad(f"is damaged, or no zip with a CSV: {error}") from error


def _bad(what: str) -> BadResponseFile:
    return BadResponseFile(f"The response file {what}.")
