"""Journals to damage: one that was closed normally, one as kill -9 leaves it, and the true content of both."""

import asyncio
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from orchestrator.clock import Clock
from orchestrator.errors import MassStopError
from orchestrator.journal import journal as journals
from orchestrator.journal.entries import RunInfo
from orchestrator.journal.recovery.opening import open_for_report
from orchestrator.model import ActionState, InputRow, Outcome, Records, Status
from orchestrator.report import read_report

SECRETLESS: dict[str, Any] = {"concurrency": 4}
INFO = RunInfo(
    "run", "run", "0", 0.0, "2026-11-23T22:50:13.000Z", "https://tenant.invalid", None, ("a",), SECRETLESS
)
AT = "2026-11-23T22:50:14.000Z"
KEYS = 12
SETTLED = 7
"""The number of finished keys. Four more have an accepted stop, and one is not sent."""


def make(directory: Path, *, killed: bool) -> Path:
    """Create a journal in ``directory``. If its process was ``killed``, its log and index remain beside it."""
    path = directory / "made" / "journal.db"
    path.parent.mkdir(parents=True)
    journal = journals.create(path, Clock())
    journal.begin(INFO)
    journal.begin_session()
    (source,) = journal.add_sources([("keys.csv", "keys.csv")])
    keys = [f"{number:032x}" for number in range(0xABCDEF, 0xABCDEF + KEYS)]
    rows = [InputRow(number, key, labels={"owner": f"team {number}"}) for number, key in enumerate(keys, 2)]
    rows += [InputRow(KEYS + 2, keys[0]), InputRow(KEYS + 3, "no key", problem="That is no bulk key.")]
    read, _ = journal.admit(source, rows, ranked=False).result()
    journal.source_complete(read, "0" * 64)
    asyncio.run(journal.reopen(kept=lambda _: True))
    if killed:  # a part of its content is already in the file and not in the log
        with closing(sqlite3.connect(path)) as other:
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    asyncio.run(_lived(journal))
    for name in ("journal.db", "journal.db-wal", "journal.db-shm"):
        if killed:
            shutil.copyfile(path.with_name(name), directory / name)
    journal.close()
    if not killed:
        shutil.copyfile(path, directory / "journal.db")
    shutil.rmtree(path.parent)
    return directory / "journal.db"


async def _lived(journal: journals.Journal) -> None:
    claimed = await journal.claim(KEYS - 1, intent=True)
    for one in claimed:
        journal.accepted(one.seq, AT, AT, f"track-{one.seq}", f"request-{one.seq}", 1.0, claimed=True)
    for one in claimed[:SETTLED]:
        journal.status_read(
            one.seq,
            ActionState(Status.STOPPED, "MPU", records=Records(100, 40, 36, 4, 60, "status")),
            retried=False,
        )
        journal.completed(one.seq, Outcome.STOPPED, None)
    await journal.end_session("interrupted", "Interrupted by SIGINT.", 130)


class Reported(NamedTuple):
    """The report of a journal: its actions by row, if any, and the sentences about its damage."""

    actions: dict[int, dict[str, Any]]
    sentences: list[str]


def reported(path: Path) -> Reported:
    """Return the output of ``mass-stop report`` for the journal at ``path``."""
    try:
        reader = open_for_report(path.parent)
        sentences = list(reader.missing)
    except MassStopError as error:
        return Reported({}, [str(error)])
    try:
        report = msgspec.to_builtins(read_report(reader))
    finally:
        reader.close()
    return Reported({action["row"]: action for action in report["actions"]}, sentences)


def lies(truth: Reported, now: Reported) -> list[str]:
    """Return the false statements of a damaged journal about stopped actions."""
    return [
        f"row {row}: {_checked_fields(action)} is reported, {_checked_fields(truth.actions[row])} is true"
        for row, action in now.actions.items()
        if action["outcome"] == "stopped"
        and (row not in truth.actions or _checked_fields(action) != _checked_fields(truth.actions[row]))
    ]


def _checked_fields(action: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that a checksum covers."""
    named = ("bulk_key", "row", "labels", "outcome", "status", "error")
    stop, records = action["stop"], action["records"]
    return {
        **{name: action[name] for name in named},
        **{name: stop[name] for name in ("attempts", "accepted_at", "request_id")},
        **{name: records[name] for name in ("total", "processed", "succeeded", "failed", "unprocessed")},
    }
