"""From bytes to physical lines: only sound UTF-8 passes, and no line outgrows its bound."""

import codecs
import io
from collections.abc import Iterable, Iterator
from itertools import chain

from orchestrator.errors import InputError

LIMIT = 131_072
"""The most characters of one record: the bound the csv module itself puts on a field."""

_SAVE = "Save it as CSV in UTF-8 and run again."
_KNOWN = {
    b"PK\x03\x04": "is a zip archive or an Excel workbook",
    b"\xff\xfe": "is UTF-16",
    b"\xfe\xff": "is UTF-16",
    b"%PDF": "is a PDF document",
    b"SQLite": "is a database",
}


def decode(chunks: Iterable[bytes], name: str) -> Iterator[str]:
    """Yields each chunk as text, without a byte order mark, never parting CR from LF.

    Raises:
        InputError: a byte is no UTF-8, or is NUL; raised before anything of its chunk is yielded.
    """
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8-sig")(), translate=False)
    head, before, line = b"", 0, 1
    for chunk in chain(chunks, [b""]):  # the empty one flushes the decoder
        head = head or chunk[:6]
        try:
            piece = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            what, sound = f"is not UTF-8: byte 0x{error.object[error.start]:02X}", error.object[: error.start]
            offset = before + len(chunk) - len(error.object) + error.start
            raise _unreadable(name, head, what, line + _ends(sound.decode()), offset) from error
        if "\0" in piece:
            what, whole = "is UTF-16 or binary: a NUL byte", piece.partition("\0")[0]
            raise _unreadable(name, head, what, line + _ends(whole), before + chunk.index(b"\0"))
        before += len(chunk)
        line += _ends(piece)
        yield piece


def split_lines(pieces: Iterable[str]) -> Iterator[str]:
    """Yields physical lines with their ends (LF, CRLF, CR), each once it is complete; the last may lack one.

    Of a line longer than ``LIMIT`` characters only its start is kept: enough to be seen as too long.
    """
    return chain.from_iterable(_complete(pieces))


def _complete(pieces: Iterable[str]) -> Iterator[list[str]]:
    rest = ""
    for piece in pieces:
        found = io.StringIO(rest + piece, newline="").readlines()
        rest = found.pop()[: LIMIT + 1] if found and found[-1][-1] not in "\r\n" else ""
        yield found
    if rest:
        yield [rest]


def _ends(piece: str) -> int:
    return piece.count("\n") + piece.count("\r") - piece.count("\r\n")


def _unreadable(name: str, head: bytes, what: str, line: int, offset: int) -> InputError:
    known = next((words for magic, words in _KNOWN.items() if head.startswith(magic)), None)
    return InputError(f"{name} {known or f'{what} in line {line} (byte {offset + 1})'}. {_SAVE}")
