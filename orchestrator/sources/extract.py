"""Find bulk keys in logs, JSON, HTTP traces and exported tables, as a stream. Memory grows with distinct keys only.

A key counts if it follows a label (``"bulkKey": "KEY"``, ``bulk_key=KEY``) or is in the address of a mass action
(``/v1/bulk/KEY``). Keys in a column titled ``bulk_key`` count as well. ``loose`` accepts any text in the form of a key.
"""

import codecs
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path

from msgspec import Struct

from orchestrator.errors import InputError
from orchestrator.sources.cells import bulk_key
from orchestrator.sources.headers import normalised
from orchestrator.sources.raw import Descriptor, sentence, unpack
from orchestrator.sources.records import parse_records
from orchestrator.sources.text import LIMIT, known_format, split_lines

LONGEST_LINE = 1 << 20
"""Bytes of a line that are in memory at once. A longer line is searched in pieces."""

_OVERLAP = 4096  # bytes shared by two pieces of a line; longer than a label with its key
_KEY = rb"([0-9A-Za-z]{32})(?![0-9A-Za-z])"
# Text between a label and its key: quotes, spaces, and escapes of JSON, URLs, HTML and terminals.
_BETWEEN = rb"(?>\x1b?\[[0-9;]*m|%[0-9A-Fa-f]{2}|&(?:quot|#\d{1,4});|\\+u00[0-9A-Fa-f]{2}|[^0-9A-Za-z\r\n])"
_BEGINS = rb"(?i:bulk[ _-]?keys?)(?![A-Za-z])"
_LABELLED = re.compile(
    rb"(?i:v1(?:\\*/|%2f)bulk(?:\\*/|%2f))" + _KEY + rb"|" + _BEGINS + _BETWEEN + rb"{1,24}(?:is +)?" + _KEY
)
_ASSIGNED = _BEGINS + rb"[\"'\\]*\s*[:=]\s*"
_LIST = re.compile(_ASSIGNED + rb"[\"'\\]*\[([^\]\r\n]+)")
_LEFT_OPEN = re.compile(_ASSIGNED + rb"(?:[\"'\\]*\[[^\]]*|(?<=:)\s*)\Z")
_ITEMS = re.compile(rb"([\s\"'\\,0-9A-Za-z._~-]*)(\][^\]]*)?")  # the next line of a list, up to its end
_OTHER_VALUE = re.compile(_ASSIGNED + rb"[\"'\\]*([0-9A-Za-z._~-]*\d[0-9A-Za-z._~-]*)")
_ALONE = re.compile(rb"(?<![0-9A-Za-z])" + _KEY)
_TIME = re.compile(
    rb"\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?: ?(?:Z|[+-]\d\d:?\d\d))?"
    rb"|\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}"
    rb"|(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ \d]\d \d\d:\d\d:\d\d"
)
_TITLE = "bulkkey"
_NO_TITLE = re.compile(r"[\[\]{}:=]")  # part of JSON or of a log line
_START = 64 * 1024  # bytes that are searched for the header of a table
_MOST_LINES = 20  # most lines up to and including a table's header


class FoundKey(Struct):
    """The place of a key's first appearance, and the number of appearances. ``time`` is the source's text, or empty."""

    source: str
    row: int
    time: str
    occurrences: int = 0


class Extraction:
    """Collects keys from one source after another.

    Attributes:
        found: the keys in order of first appearance.
        remarks: sentences about parts that were not searched, or only partly.
        complete: whether every source was searched to its end.
    """

    def __init__(self, *, loose: bool = False) -> None:
        self.found: dict[str, FoundKey] = {}
        self.remarks: list[str] = []
        self.complete = True
        self._loose = loose

    def read(self, spec: str) -> None:
        """Search the file at ``spec``, or standard input for ``-``. Raises InputError if it cannot be opened."""
        name = "<stdin>" if spec == "-" else spec
        try:
            fd = os.dup(0) if spec == "-" else os.open(spec, os.O_RDONLY | os.O_CLOEXEC)
            if Path(f"/dev/fd/{fd}").is_dir():
                os.close(fd)
                raise IsADirectoryError
        except (OSError, ValueError) as error:
            raise InputError(sentence(name, error)) from error
        with closing(os.fdopen(fd, "rb", buffering=0)):
            self._search(name, unpack(Descriptor(fd, name, lambda: None), name))

    def _search(self, name: str, pieces: Iterator[bytes]) -> None:
        source = _Source(name)
        try:
            start, pieces = _start_of(pieces)
            if what := known_format(start):
                self._stop_at(f"{name} {what}: it was not searched. Decompress or export it, and run again.")
                return
            pieces = source.without_nul(pieces)
            if _is_table(start):
                self._search_table(source, pieces)
            else:
                self._search_text(source, pieces)
        except InputError as error:
            self._stop_at(f"{error} Keys before that point were found.")
        self.remarks += source.remarks()

    def _stop_at(self, sentence: str) -> None:
        self.remarks.append(sentence)
        self.complete = False

    def _search_text(self, source: "_Source", pieces: Iterable[bytes]) -> None:
        buffer, row, long = b"", 1, False
        for piece in chain(pieces, (None,)):
            buffer += piece or b""
            whole = len(buffer) if piece is None else buffer.rfind(b"\n") + 1
            if whole:
                row = self._search_lines(source, buffer[:whole], row, long=long)
                buffer, long = buffer[whole:], False
            elif len(buffer) >= LONGEST_LINE:
                source.long_lines += not long
                buffer = buffer if long else b"\n" + buffer
                kept = len(buffer) - _OVERLAP
                self._search_line(source, buffer, row, kept, long=True)
                buffer, long = buffer[kept - 1 :], True

    def _search_lines(self, source: "_Source", block: bytes, row: int, *, long: bool) -> int:
        """Search complete lines, the first of which has number ``row``. Return the number of the line after them."""
        if not self._loose and not source.in_list and b"bulk" not in block.lower():
            return row + block.count(b"\n")
        for line in block.split(b"\n"):
            if self._loose or source.in_list or b"bulk" in line.lower():
                self._search_line(source, line, row, long=long)
            row, long = row + 1, False
        return row - 1

    def _search_line(
        self, source: "_Source", line: bytes, row: int, end: int | None = None, *, long: bool = False
    ) -> None:
        """Search one line, or a piece of a ``long`` line. Keys from ``end`` on belong to the next piece.

        A later piece starts with one byte of the previous piece.
        """
        span = (int(long), len(line) if end is None else end)
        keys = _keys_in(line, *span, loose=self._loose)
        if not self._loose:
            source.add_unusable(line, *span, row)
            keys = source.further_items(line) + keys
        if keys:
            times = [] if long else _TIME.findall(line)
            several = len(set(keys)) > 1 and len(set(times)) > 1  # the times cannot be assigned to the keys
            time = times[0].decode() if times and not several else ""
            for key in keys:
                self._add(key.decode(), source.name, row, time)

    def _search_table(self, source: "_Source", pieces: Iterable[bytes]) -> None:
        decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        columns: list[int] = []
        for record in parse_records(split_lines(map(decoder.decode, pieces)), frozenset({_TITLE})):
            titles = [normalised(cell) for cell in record.cells]
            if _TITLE in titles:
                columns = [number for number, title in enumerate(titles) if title == _TITLE]
                continue
            source.long_rows += sum(map(len, record.cells)) >= LIMIT
            for number, cell in enumerate(record.cells):
                if number in columns and (key := bulk_key(cell)) is not None:
                    time = _TIME.search(" ".join(record.cells).encode())
                    self._add(key, source.name, record.number, time[0].decode() if time else "")
                elif self._loose or "bulk" in cell.lower():
                    self._search_line(source, cell.encode(), record.number)

    def _add(self, key: str, source: str, row: int, time: str) -> None:
        found = self.found.get(key)
        if found is None:
            found = self.found[key] = FoundKey(source, row, time)
        found.occurrences += 1


class _Source:
    """Counts the noteworthy parts of one source."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.long_lines = 0
        self.long_rows = 0
        self.in_list = False  # the previous line ends after a key's label, or inside a list of keys
        self._nul = 0
        self._unusable = 0
        self._first_unusable = 0

    def without_nul(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Yield ``pieces`` without NUL bytes, which occur in rotated logs and in every second byte of UTF-16."""
        for piece in pieces:
            if b"\0" in piece:
                self._nul += piece.count(b"\0")
                yield piece.translate(None, b"\0")
            else:
                yield piece

    def add_unusable(self, line: bytes, begin: int, end: int, row: int) -> None:
        """Count values with the label of a key that are no key."""
        for match in _OTHER_VALUE.finditer(line, begin):
            if match.start() < end and not _LABELLED.match(line, match.start()):
                self._unusable += 1
                self._first_unusable = self._first_unusable or row

    def further_items(self, line: bytes) -> list[bytes]:
        """Return the keys at the start of ``line`` that continue a list of the previous lines."""
        items = _ITEMS.fullmatch(line) if self.in_list else None
        self.in_list = _LEFT_OPEN.search(line) is not None or (items is not None and items[2] is None)
        return [] if items is None else _ALONE.findall(items[1])

    def remarks(self) -> list[str]:
        """Return the counts as sentences."""
        counts = (
            (self._nul, "NUL byte", "skipped (binary content or UTF-16); the text between them was searched"),
            (
                self.long_lines,
                f"line longer than {LONGEST_LINE:,} bytes",
                "searched in pieces, without its time",
            ),
            (self.long_rows, f"row longer than {LIMIT:,} characters", "searched only in part"),
            (
                self._unusable,
                "value labelled as a bulk key that is no key",
                f"skipped; the first is in line {self._first_unusable}",
            ),
        )
        return [f"{self.name}: {count:,} x {noun}, {what}." for count, noun, what in counts if count]


def _keys_in(line: bytes, begin: int, end: int, *, loose: bool) -> list[bytes]:
    """Return the keys in ``line``, in order, whose label (``loose``: first letter) is between ``begin`` and ``end``."""
    if loose:
        return [match[1] for match in _ALONE.finditer(line, begin) if match.start() < end]
    found = {match.start(): [match[1] or match[2]] for match in _LABELLED.finditer(line, begin)}
    found |= {match.start(): _ALONE.findall(match[1]) for match in _LIST.finditer(line, begin)}
    return [key for at in sorted(found) if at < end for key in found[at]]


def _start_of(pieces: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """Return the first bytes of a source, and an iterator over all its pieces."""
    held: list[bytes] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= _START:
            break
    return b"".join(held)[:_START], chain(held, pieces)


def _is_table(start: bytes) -> bool:
    """Return whether one of the first lines is a header with a column of bulk keys."""
    text = start.translate(None, b"\0").decode("utf-8", "replace")
    return any(
        normalised(cell) == _TITLE and not _NO_TITLE.search(cell)
        for line in text.splitlines()[:_MOST_LINES]
        for cell in re.split(r"[,;\t]", line)
    )
