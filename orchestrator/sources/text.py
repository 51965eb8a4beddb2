"""Convert bytes to text and lines. Content that is not UTF-8 text is refused with its format; lines are limited."""

import codecs
import io
import re
from collections.abc import Iterable, Iterator
from itertools import chain

from orchestrator.errors import InputError
from orchestrator.sources.cells import INVISIBLE

LIMIT = 2 << 20
"""Most characters of one record. Exported tables have cells of a megabyte, which become labels."""

_SAVE = "Save it as CSV in UTF-8 and run again."
_START = 1_000  # characters that are examined to recognise the format of a source
_COMMENTS = re.compile(rf"[{re.escape(INVISIBLE)}]*(#[^\r\n]*[\r\n][{re.escape(INVISIBLE)}]*)*")
_BINARY = "is UTF-16 or binary: a NUL byte"
_UNPACK = "Decompress it and run again."
_KNOWN = {
    b"PK\x03\x04": ("is a zip archive or an Excel workbook (xlsx)", _SAVE),
    b"\xd0\xcf\x11\xe0": ("is an Excel workbook of the old form (xls)", _SAVE),
    b"\xff\xfe": ("is UTF-16", _SAVE),
    b"\xfe\xff": ("is UTF-16", _SAVE),
    b"SQLite": ("is a database", _SAVE),
    b"PAR1": ("is a Parquet file", _SAVE),
    b"%PDF": ("is a PDF document", _SAVE),
    b"BZh": ("is compressed with bzip2", _UNPACK),
    b"\xfd7zXZ": ("is compressed with xz", _UNPACK),
    b"\x28\xb5\x2f\xfd": ("is compressed with zstd", _UNPACK),
    b"7z\xbc\xaf": ("is a 7z archive", _UNPACK),
}
_DOCUMENTS = {
    "<!doctype html": "is an HTML page, not a table (a login page, perhaps)",
    "<html": "is an HTML page, not a table (a login page, perhaps)",
    "<head": "is an HTML page, not a table (a login page, perhaps)",
    "<table": "is an HTML page, not a table (a workbook saved as a web page, perhaps)",
    "<!--": "is XML or HTML",
    "<?xml": "is XML",
    "{\\rtf": "is an RTF document",
    "%pdf": "is a PDF document",
    "pk\x03\x04": "is a zip archive or an Excel workbook (xlsx)",
}


def decode(chunks: Iterable[bytes], name: str) -> Iterator[str]:
    """Yield each chunk as text, without a byte order mark. CR and LF stay together.

    Raises:
        InputError: a byte is not UTF-8 or is NUL. Raised before any text of its chunk is yielded.
    """
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8-sig")(), translate=False)
    head, before, line = b"", 0, 1
    for chunk in chain(chunks, [b""]):  # the empty chunk flushes the decoder
        head = (head + chunk[:8])[:8]
        try:
            piece = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            what, sound = f"is not UTF-8: byte 0x{error.object[error.start]:02X}", error.object[: error.start]
            if b"\0" in sound:
                what, sound = _BINARY, sound.partition(b"\0")[0]
            offset = before + len(chunk) - len(error.object) + len(sound)
            raise _unreadable(name, head, what, line + count_lines(sound.decode()), offset) from error
        if "\0" in piece:
            whole = piece.partition("\0")[0]
            raise _unreadable(name, head, _BINARY, line + count_lines(whole), before + chunk.index(b"\0"))
        before += len(chunk)
        line += count_lines(piece)
        yield piece


def read_start(pieces: Iterator[str]) -> tuple[str, Iterator[str]]:
    """Return the first characters of a source after its comments, and an iterator over all pieces.

    The characters are enough to recognise the format. A second piece is read only if the source starts with a comment,
    a bracket, or part of a known document's start.
    """
    held: list[str] = []
    start = ""
    for piece in pieces:
        held.append(piece)
        start = _COMMENTS.sub("", start + piece, count=1)
        if start and not _is_ambiguous(start):
            break
    return start[:_START], chain(held, pieces)


def _is_ambiguous(start: str) -> bool:
    """Return whether the next characters may decide the format of a source."""
    if len(start) >= _START:
        return False
    return (
        start[0] == "#"
        or start.rstrip(INVISIBLE) in ("[", "{")
        or any(one.startswith(start.casefold()) for one in _DOCUMENTS)
    )


def refuse_document(start: str, name: str) -> None:
    """Raise InputError if a source that starts with ``start`` is text, but neither a table nor JSON."""
    lowered = start[:16].casefold()
    for opening, what in _DOCUMENTS.items():
        if lowered.startswith(opening):
            raise InputError(f"{name} {what}. Export the keys as CSV in UTF-8 and run again.")


def split_lines(pieces: Iterable[str]) -> Iterator[str]:
    """Yield physical lines with their ends (LF, CRLF, CR) as soon as they are complete; the last may have none.

    A line longer than ``LIMIT`` characters is cut to ``LIMIT`` + 1, so that it is still recognised as too long.
    """
    return chain.from_iterable(_complete(pieces))


def _complete(pieces: Iterable[str]) -> Iterator[list[str]]:
    rest: list[str] = []
    size = 0
    for piece in pieces:
        if "\n" not in piece and "\r" not in piece:
            if (
                size <= LIMIT
            ):  # joined at the end of the line only: joining each piece would cost quadratic time
                rest.append(piece)
                size += len(piece)
            continue
        found = io.StringIO("".join((*rest, piece)), newline="").readlines()
        rest = [found.pop()] if found[-1][-1] not in "\r\n" else []
        size = sum(map(len, rest))
        yield found
    if size:
        yield ["".join(rest)[: LIMIT + 1]]


def count_lines(text: str) -> int:
    """Return the number of line ends in ``text``."""
    return text.count("\n") + text.count("\r") - text.count("\r\n")


def _unreadable(name: str, head: bytes, what: str, line: int, offset: int) -> InputError:
    found, advice = _known(head) or (f"{what} in line {line} (byte {offset + 1})", _SAVE)
    return InputError(f"{name} {found}. {advice}")


def known_format(head: bytes) -> str | None:
    """Return the format of a source that starts with ``head`` and has no readable text, as in "is a zip archive"."""
    known = _known(head)
    return known[0] if known is not None and not head.startswith((b"\xff\xfe", b"\xfe\xff")) else None


def _known(head: bytes) -> tuple[str, str] | None:
    return next((found for magic, found in _KNOWN.items() if head.startswith(magic)), None)
