"""Response files: real zips with one CSV each, written when asked for, in every style the API may choose."""

import csv
import io
import random
import re
import zipfile
from collections.abc import Iterator, Sequence
from typing import BinaryIO, cast

from orchestrator.simulator.actions import Counts

_FILE_ID = re.compile(r"[0-9a-f]{32}")
_CHUNK = 2000  # rows written at a time: a file of millions need not stand in memory twice
_NOTES = (
    "",
    "plain",
    'said "stop"',
    "Doe, Jane",
    "two\nlines",
    "Süß & Söhne",
    'a,b\n"c"',
    " padded ",
    "'Y'",
    "N",
)
_HEADERS = ("Success", "Success", "Success", "success", "SUCCESS")


def file_name(mask: int, key: str) -> str:
    """The file id of ``key``: 32 hexadecimal digits that give back the key, so that no table is kept."""
    return f"{int(key, 16) ^ mask:032x}"


def key_of(mask: int, file_id: str) -> str | None:
    """The key whose file ``file_id`` is; None for what cannot be one."""
    return f"{int(file_id, 16) ^ mask:032x}" if _FILE_ID.fullmatch(file_id) else None


def response_file(seed: int, key: str, counts: Counts) -> bytes:
    """The zip of one action: ``succeeded`` rows say Y, ``failed`` ones N, the rest nothing."""
    dice = random.Random(f"file {seed} {key}")
    raw = io.BytesIO()
    # A zip written to a pipe, as servers do, has its sizes after the data and zeros before it.
    target = cast(BinaryIO, _Pipe(raw)) if dice.random() < 0.5 else raw
    method = zipfile.ZIP_DEFLATED if dice.random() < 0.9 else zipfile.ZIP_STORED
    folder = "output/" if dice.random() < 0.2 else ""
    with zipfile.ZipFile(target, "w", method, compresslevel=1) as archive:
        info = zipfile.ZipInfo(f"{folder}{key}.csv", (2026, 11, 23, 23, 0, 0))
        info.compress_type = method
        with archive.open(info, "w") as entry:
            for chunk in _chunks(dice, key, counts):
                entry.write(chunk)
    return raw.getvalue()


def _chunks(dice: random.Random, key: str, counts: Counts) -> Iterator[bytes]:
    place = dice.choice((0, 1, 3, 3, 3))
    header = ["Amendment", "Effective Date", "Note"]
    header.insert(place, dice.choice(_HEADERS))
    end = dice.choice(("\n", "\r\n"))
    quote_all = dice.random() < 0.3
    if dice.random() < 0.3:
        yield b"\xef\xbb\xbf"
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator=end, quoting=csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL)
    writer.writerow(header)
    marks = _marks(dice, counts)
    last = len(marks) - 1
    no_final_end = dice.random() < 0.2
    for n, mark in enumerate(marks):
        row = [f"A-S{key[:6]}{n:06d}", f"2026-{n % 12 + 1:02d}-28", _NOTES[n * 7 % len(_NOTES)]]
        row.insert(place, mark)
        writer.writerow(row)
        if n % _CHUNK == _CHUNK - 1 and n != last:
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()
    rest = text.getvalue()
    yield (rest.removesuffix(end) if no_final_end else rest).encode()


def _marks(dice: random.Random, counts: Counts) -> Sequence[str]:
    """One mark a record, sometimes in the order of processing, sometimes in none."""
    marks = ["Y"] * counts.succeeded + ["N"] * counts.failed
    dice.shuffle(marks)
    marks += [""] * (counts.total - counts.processed)
    if dice.random() < 0.5:
        dice.shuffle(marks)
    return marks


class _Pipe:
    """Takes bytes and cannot go back: it has no ``tell`` and no ``seek``."""

    def __init__(self, target: io.BytesIO) -> None:
        self.write = target.write
        self.flush = target.flush
