"""The report as a file: JSON, or tables; read from the journal in memory that does not grow with the run."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import msgspec

from orchestrator.journal.reader import JournalReader
from orchestrator.model import GOOD, Outcome, Problem
from orchestrator.printable import printable, printable_json
from orchestrator.report.building import read_actions, read_head
from orchestrator.report.schema import SCHEMA, ActionEntry
from orchestrator.results.formula_guard import guard

Write = Callable[[bytes], object]

PIECE = 64 << 10
"""Bytes of actions that are handed on together: a write and a digest for each action would cost as much as the rest."""

NEEDS_PERSON = tuple(outcome for outcome in Outcome if outcome not in GOOD)
"""The outcomes that need a person."""


def write_json(reader: JournalReader, write: Write, only: Sequence[Outcome] = ()) -> None:
    """Writes the report to ``write``, some actions at a time: all actions, or ``only`` those of some outcomes."""
    encoder = msgspec.json.Encoder()
    encode = encoder.encode
    run, summary = read_head(reader)
    write(b'{\n"schema": ' + encode(SCHEMA))
    write(b',\n"run": ' + printable_json(msgspec.json.format(encode(run), indent=2)))
    write(b',\n"summary": ' + printable_json(msgspec.json.format(encode(summary), indent=2)))
    write(b',\n"actions": [')
    gathered, before = bytearray(), b"\n"
    for action in _chosen(reader, only):
        gathered += before
        encoder.encode_into(action, gathered, -1)
        before = b",\n"
        if len(gathered) > PIECE:
            write(printable_json(bytes(gathered)))
            gathered.clear()
    write(printable_json(bytes(gathered)))
    write(b"\n]\n}\n")


def write_csv(reader: JournalReader, write: Write, only: Sequence[Outcome] = ()) -> None:
    """Writes one line for each action, with formulas disarmed and hidden characters escaped."""
    several = bool(reader.tenants())
    write_table(
        (*_CSV_COLUMNS, "tenant") if several else _CSV_COLUMNS,
        (
            [*_csv_cells(action), action.tenant] if several else _csv_cells(action)
            for action in _chosen(reader, only)
        ),
        write,
    )


def write_table(header: Sequence[str], rows: Iterable[Sequence[Any]], write: Write) -> None:
    """Write a CSV table to ``write``, one row at a time, with formulas disarmed and hidden characters escaped."""
    text = io.StringIO(newline="")
    table = csv.writer(text)
    for cells in chain((header,), rows):
        table.writerow([guard(_visible(cell)) if isinstance(cell, str) else cell for cell in cells])
        write(text.getvalue().encode("utf-8", "surrogateescape"))
        text.seek(0)
        text.truncate()


def _chosen(reader: JournalReader, only: Sequence[Outcome]) -> Iterator[ActionEntry]:
    return read_actions(reader, "actions_by_outcome", only) if only else read_actions(reader)


_CSV_COLUMNS = (
    "bulk_key", "source", "row", "outcome", "status", "action_type", "attempts", "accepted_at", "track_id",
    "request_id", "total", "processed", "succeeded", "failed", "unprocessed", "counts_from", "error_kind",
    "error_code", "error_message", "duplicate_rows", "labels",
)  # fmt: skip


def _visible(cell: str) -> str:
    """``cell`` with its hidden characters escaped, except line breaks: a malformed row may contain some."""
    return cell if cell.isprintable() else "\n".join(map(printable, cell.split("\n")))


def _duplicates(action: ActionEntry) -> str:
    """``4 5``: rows of the same source; ``keys.csv:4, more.csv:7`` where one is of another."""
    if action.duplicates is None:
        return " ".join(map(str, action.duplicate_rows))
    return ", ".join(f"{one.source}:{one.row}" for one in action.duplicates)


def _csv_cells(action: ActionEntry) -> list[Any]:
    error = action.error or Problem(kind="")
    stop, records = action.stop, action.records
    return [
        action.bulk_key, action.source, action.row, action.outcome.value, action.status,
        action.action_type or "",
        stop.attempts, stop.accepted_at, stop.track_id, stop.request_id,
        records.total, records.processed, records.succeeded, records.failed, records.unprocessed, records.source,
        error.kind, error.code, printable(error.message or ""), _duplicates(action),
        printable_json(msgspec.json.encode(action.labels)).decode() if action.labels else "",
    ]  # fmt: skip


_BEFORE = ("bulk_key", "tenant", "source", "row")
_AFTER = ("outcome", "error_kind", "message")


def write_handover(reader: JournalReader, write: Write) -> None:
    """Write ``needs-person.csv``: a row for each key that needs a person, in a form that the next run can read.

    A malformed row has an empty ``bulk_key``, so that the next run skips it.
    """
    labels = _columns(name for action in _chosen(reader, NEEDS_PERSON) for name in action.labels)
    rows = (_handover_cells(action, labels) for action in _chosen(reader, NEEDS_PERSON))
    write_table((*_BEFORE, *labels, *_AFTER), rows, write)


def _columns(names: Iterable[str]) -> dict[str, list[str]]:
    """The columns of the labels ``names``, each with the labels that it shows.

    The labels of an earlier ``needs-person.csv`` have the titles of this table. Theirs become ``label_TITLE``.
    """
    columns: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        taken = "".join(filter(str.isalnum, name)).casefold() in _TAKEN
        shown = columns.setdefault(f"label_{name}" if taken else name, [])
        shown.insert(len(shown) if taken else 0, name)
    return columns


_TAKEN = {title.replace("_", "") for title in (*_BEFORE, *_AFTER)}


def _handover_cells(action: ActionEntry, labels: dict[str, list[str]]) -> list[object]:
    error = action.error or Problem(kind="")
    malformed = action.outcome is Outcome.MALFORMED
    held = f" The row holds: {action.bulk_key}" if malformed and action.bulk_key else ""
    return [
        "" if malformed else action.bulk_key, action.tenant or "", action.source, action.row,
        *(next((action.labels[name] for name in names if name in action.labels), "") for names in labels.values()),
        action.outcome.value, error.kind, f"{error.message}{held}",
    ]  # fmt: skip
