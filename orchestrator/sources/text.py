"""Turn bytes into text and lines. Content that is not UTF-8 text is refused by name, and lines are bounded."""

import codecs
import io
import re
from collections.abc import Iterable, Iterator
from itertools import chain

from orchestrator.errors import InputError
from orchestrator.sources.cells import INVISIBLE

LIMIT = 2 << 20
"""The most characters of one record: exported tables have cells of a megabyte, which become labels."""

_SAVE = "Save it as CSV in UTF-8 and run again."
_START = 1_000  # characters by which the form of a source is recognised
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
        InputError: a byte is not UTF-8 or is NUL; raised before anything of its chunk is yielded.
    """
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8-sig")(), translate=False)
    head, before, line = b"", 0, 1
    for chunk in chain(chunks, [b""]):  # the empty one flushes the decoder
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
    """The first characters of a source below its comments, enough to recognise its form; and all pieces again.

    Only a source that starts with a comment or a bracket, or like a known document, waits for a second piece.
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
    """Whether the next characters may still decide what a source is."""
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

    Only the start of a line longer than ``LIMIT`` characters is kept, so that it is still recognised as too long.
    """
    return chain.from_iterable(_complete(pieces))


def _complete(pieces: Iterable[str]) -> Iterator[list[str]]:
    rest: list[str] = []
    size = 0
    for piece in pieces:
        if "\n" not in piece and "\r" not in piece:
            if (
                size <= LIMIT
            ):  # joined only once the line ends: its length must not be paid for with each piece
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
    """The number of line ends in ``text``."""
    return text.count("\n") + text.count("\r") - text.count("\r\n")


def _unreadable(name: str, head: bytes, what: str, line: int, offset: int) -> InputError:
    found, advice = _known(head) or (f"{what} in line {line} (byte {offset + 1})", _SAVE)
    return InputError(f"{name} {found}. {advice}")


def known_format(head: bytes) -> str | None:
    """The kind of a source that begins with ``head``, if no text can be read from it: "is a zip archive"."""
    known = _known(head)
    return known[0] if known is not None and not head.startswith((b"\xff\xfe", b"\xfe\xff")) else None


def _known(head: bytes) -> tuple[str, str] | None:
    return next((found for magic, found in _KNOWN.items() if head.startswith(magic)), None)
