"""Response files: zips with one CSV each, written on request, in every style that the API may choose."""

import csv
import io
import random
import re
import zipfile
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple, cast

_FILE_ID = re.compile(r"[0-9a-f]{32}")
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


class Columns(NamedTuple):
    """The columns of one action type: those that a user uploads, and those that the API adds after ``Success``."""

    uploaded: tuple[str, ...]
    added: tuple[str, ...]
    grouped: bool = True


_PLAIN = ("Error Message",)

COLUMNS = {
    "UpdateAccountingCode": Columns(
        ("Group ID", "Object Key", "Object Type", "Deferred Revenue Accounting Code", "#note"), _PLAIN
    ),
    "CreateRevenueSchedule": Columns(
        ("Group ID", "Subscription Charge Key", "Effective Date", "#note"),
        ("Revenue Schedule Number", "Error Message"),
    ),
    "UpdateRevenueSchedule": Columns(("Group ID", "Revenue Schedule Number", "Effective Date", "#note"), _PLAIN),
    "DeleteRevenueSchedule": Columns(("Group ID", "Revenue Schedule Number", "#note"), _PLAIN),
    "ImportFXRate": Columns(("Group ID", "Currency Pair", "Effective Date", "#note"), _PLAIN),
    "MPU": Columns(
        (
            "Billing Account ID", "Payment Invoice", "Payment Amount", "Currency", "Payment Date",
            "Payment Method ID", "Payment Type", "#note",
        ),
        ("Error Message", "Payment ID", "Gateway Response Code", "Gateway Response Message", "Payment Status"),
        grouped=False,
    ),
}  # fmt: skip
"""The columns of each action type, as documented for the API's mass actions."""

_HEADERS = ("Success", "Success", "Success", "success", "SUCCESS")


def file_name(mask: int, key: str) -> str:
    """Return the file id of ``key``: 32 hexadecimal digits. :func:`key_of` computes the key from it without a table."""
    return f"{int(key, 16) ^ mask:032x}"


def key_of(mask: int, file_id: str) -> str | None:
    """Return the key of the file ``file_id``, or None if it cannot be a file id."""
    return f"{int(file_id, 16) ^ mask:032x}" if _FILE_ID.fullmatch(file_id) else None


class Counts(NamedTuple):
    """Record counts of one action at one time. ``processed`` is ``succeeded`` plus ``failed``."""

    total: int
    processed: int
    succeeded: int
    failed: int


class Upload(NamedTuple):
    """An uploaded file: the titles of its columns, and the cells of each record."""

    header: list[str]
    rows: list[list[str]]


def response_file(
    seed: int,
    key: str,
    counts: Counts,
    action_type: str = "UpdateAccountingCode",
    upload: Upload | None = None,
) -> bytes:
    """Return the zip of one action: ``succeeded`` rows have Y, ``failed`` rows N, the others an empty mark.

    Records are processed in the order of the file. After a failed record, the later records of its group are not
    processed. Without an ``upload``, the records are generated, always the same ones.
    """
    dice = random.Random(f"file {seed} {key}")
    raw = io.BytesIO()
    # A zip that a server writes to a pipe has its sizes after the data, and zeros before the data.
    target = cast(BinaryIO, _Pipe(raw)) if dice.random() < 0.5 else raw
    method = zipfile.ZIP_DEFLATED if dice.random() < 0.9 else zipfile.ZIP_STORED
    folder = "output/" if dice.random() < 0.2 else ""
    with zipfile.ZipFile(target, "w", method, compresslevel=1) as archive:
        info = zipfile.ZipInfo(f"{folder}{key}.csv", (2026, 11, 23, 23, 0, 0))
        info.compress_type = method
        archive.writestr(info, _content(dice, key, counts, action_type, upload))
    return raw.getvalue()


def _content(dice: random.Random, key: str, counts: Counts, action_type: str, upload: Upload | None) -> bytes:
    columns = COLUMNS.get(action_type, COLUMNS["UpdateAccountingCode"])
    uploaded = list(columns.uploaded) if upload is None else upload.header
    place = dice.choice((0, 1, len(uploaded), len(uploaded), len(uploaded)))
    success = dice.choice(_HEADERS)
    end = dice.choice(("\n", "\r\n"))
    quote_all = dice.random() < 0.3
    encoding = "utf-8-sig" if dice.random() < 0.3 else "utf-8"
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator=end, quoting=csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL)
    writer.writerow([*uploaded[:place], success, *uploaded[place:], *columns.added])
    no_final_end = dice.random() < 0.2
    for n, (cells, mark) in enumerate(_processed(dice, key, counts, columns, upload)):
        added = _added(columns, mark, f"{key[:6]}{n:06d}")
        writer.writerow([*cells[:place], mark, *cells[place:], *added])
    content = text.getvalue()
    return (content.removesuffix(end) if no_final_end else content).encode(encoding)


def _processed(
    dice: random.Random, key: str, counts: Counts, columns: Columns, upload: Upload | None
) -> Iterator[tuple[list[str], str]]:
    """Yield each record with its mark. Generated groups are chosen so that the marks agree with ``counts``."""
    failing = set(dice.sample(range(counts.processed), counts.failed))
    uploaded = columns.uploaded if upload is None else upload.header
    grouping = uploaded.index("Group ID") if columns.grouped and "Group ID" in uploaded else None
    size = dice.choice((0, 3, 10))
    failed: set[str] = set()
    done = 0
    for n in range(counts.total):
        cells = _made_up(columns, key, n, size) if upload is None else upload.rows[n]
        group = "" if grouping is None else cells[grouping]
        if group in failed and upload is None and counts.total - n <= counts.processed - done:
            cells[grouping or 0] = group = ""  # too few records are left to skip another one
        if done == counts.processed or (group and group in failed):
            yield cells, ""
            continue
        mark = "N" if done in failing else "Y"
        done += 1
        if mark == "N" and group:
            failed.add(group)
        yield cells, mark


def _made_up(columns: Columns, key: str, n: int, size: int) -> list[str]:
    values = {
        "Group ID": f"G{n // size}" if size and n % 4 else "",
        "Payment Type": ("Electronic", "External", "")[n % 3],
        "#note": _NOTES[n * 7 % len(_NOTES)],
        "Effective Date": f"2026-{n % 12 + 1:02d}-28",
        "Payment Date": f"2026-{n % 12 + 1:02d}-28",
        "Payment Amount": f"{n % 500}.50",
    }
    return [values.get(name, f"{name[:1]}-S{key[:6]}{n:06d}") for name in columns.uploaded]


def _added(columns: Columns, mark: str, number: str) -> list[str]:
    created = {
        "Error Message": "The accounting period is closed." if mark == "N" else "",
        "Revenue Schedule Number": f"RS-{number}" if mark == "Y" else "",
        "Payment ID": f"P-{number}" if mark == "Y" or (mark == "N" and number.endswith("7")) else "",
        "Payment Status": {"Y": "Processed", "N": "Error"}.get(mark, ""),
    }
    return [created.get(name, "") for name in columns.added]


def processed_records(
    seed: int, key: str, counts: Counts, action_type: str, upload: Upload | None
) -> list[tuple[str, ...]]:
    """Return the uploaded cells of the records that :func:`response_file` marks with Y, without ``#`` columns."""
    archive = zipfile.ZipFile(io.BytesIO(response_file(seed, key, counts, action_type, upload)))
    text = io.TextIOWrapper(archive.open(archive.namelist()[0]), "utf-8-sig", newline="")
    added = {"success", *(name.lower() for name in COLUMNS[action_type].added)}
    header, *rows = csv.reader(text)
    mark = next(place for place, name in enumerate(header) if name.lower() == "success")
    uploaded = [
        place for place, name in enumerate(header) if name.lower() not in added and not name.startswith("#")
    ]
    return [tuple(row[place] for place in uploaded) for row in rows if row[mark] == "Y"]


def read_upload(data: bytes) -> Upload:
    """Return the upload in ``data``, a CSV or a zip with one CSV. Raises ValueError for other data."""
    if data.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            (name,) = archive.namelist()
            data = archive.read(name)
    header, *rows = filter(None, csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True))
    if any(len(row) != len(header) for row in rows):
        raise ValueError("a record has more or fewer cells than the header")
    return Upload(header, rows)


class _Pipe:
    """A write-only stream without ``tell`` and ``seek``, like a pipe."""

    def __init__(self, target: io.BytesIO) -> None:
        self.write = target.write
        self.flush = target.flush
