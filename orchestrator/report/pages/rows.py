"""The actions of the page: which of them it shows, and each as its script gets it."""

from collections.abc import Iterable, Iterator
from itertools import islice
from zlib import compress

from msgspec import Struct

from orchestrator.journal.reader import JournalReader
from orchestrator.model import Outcome, Problem
from orchestrator.printable import printable, shortened
from orchestrator.report import ActionEntry, read_actions
from orchestrator.report.pages.breakdowns import NO_TYPE
from orchestrator.report.pages.environment import safe_json
from orchestrator.report.wording import OUTCOMES, error_words, group_of
from orchestrator.report.writing import NEEDS_PERSON

ROOM = 18 << 20
"""Bytes of actions in one page: with all the rest it stays below 25 MB."""

ROWS_IN_BLOCK = 2_000

ROWS_AT_ONCE = 100
"""Actions that are in the page as HTML: the script's first page, and all there is without scripts."""

LONGEST = 1_000
"""Characters of an action's labels, of its message or of its key that the page shows."""

MOST_DUPLICATES = 20
"""Rows of one key's duplicates that are named; the report has them all."""


class Row(Struct, frozen=True, array_like=True):
    """One action as the page's script gets it: a JSON array in the order of these fields. Every text is visible."""

    bulk_key: str = ""
    tenant: str = ""
    outcome: Outcome = Outcome.STOPPED
    status: str | None = None
    action_type: str = ""
    accepted_at: str | None = None
    attempts: int = 0
    total: int | None = None
    succeeded: int | None = None
    failed: int | None = None
    unprocessed: int | None = None
    source: str = ""
    row: int = 0
    labels: dict[str, str] = {}
    error: str = ""
    message: str = ""
    track_id: str | None = None
    request_id: str | None = None
    error_ids: str = ""
    notes: str = ""
    speed: float | None = None
    """``plan`` only: records a second."""
    alone: float | None = None
    """``plan`` only: seconds until it would be over without a stop."""

    @property
    def title(self) -> str:
        """The name of the outcome."""
        return OUTCOMES[self.outcome].title

    @property
    def group(self) -> str:
        """The figure that counts the outcome."""
        return group_of(self.outcome)


class Selection(Struct, frozen=True):
    """The actions that the page shows.

    Attributes:
        first: those that are in the page as HTML.
        blocks: all of them, each block a JSON array. They are compressed, so that memory does not grow with the run.
        shown: how many they are.
        complete: whether these are all actions of the run.
    """

    first: list[Row]
    blocks: list[bytes]
    shown: int
    complete: bool


def select(reader: JournalReader, actions: int, people: int) -> Selection:
    """All ``actions`` if the page has room for them, otherwise the ``people`` that need a person, as far as they fit.

    If no action needs a person, the first that fit are shown.
    """
    selection = _select(read_actions(reader), actions)
    if selection.complete or not people:
        return selection
    return _select(read_actions(reader, "actions_by_outcome", NEEDS_PERSON), actions)


def _select(found: Iterator[ActionEntry], actions: int) -> Selection:
    """The actions of ``found`` that fit; the run has so many ``actions``."""
    first: list[Row] = []
    blocks: list[bytes] = []
    shown = 0
    fitting = _fitting(map(_row, found))
    while block := list(islice(fitting, ROWS_IN_BLOCK)):
        first = first or [row for row, _ in block[:ROWS_AT_ONCE]]
        blocks.append(compress(b"[%s]" % b",".join(text for _, text in block), level=1))
        shown += len(block)
    return Selection(first, blocks, shown, shown == actions)


def _fitting(rows: Iterable[Row]) -> Iterator[tuple[Row, bytes]]:
    """The first of ``rows`` for which the page has room, each with its JSON."""
    room = ROOM
    for row in rows:
        text = safe_json(row)
        room -= len(text) + 1
        if room < 0:
            return
        yield row, text


def _row(action: ActionEntry) -> Row:
    records, stop, error, plan = action.records, action.stop, action.error, action.plan
    return Row(
        bulk_key=_text(action.bulk_key),
        tenant=_text(action.tenant or ""),
        outcome=action.outcome,
        status=action.status,
        action_type=printable(action.action_type) if action.action_type else NO_TYPE,
        accepted_at=stop.accepted_at,
        attempts=stop.attempts,
        total=records.total,
        succeeded=records.succeeded,
        failed=records.failed,
        unprocessed=records.unprocessed,
        source=printable(action.source),
        row=action.row,
        labels=_labels(action.labels) if action.labels else {},
        error=error_words(error.kind).title if error else "",
        message=_text(error.message) if error else "",
        track_id=stop.track_id,
        request_id=printable(stop.request_id) if stop.request_id else None,
        error_ids=_ids(error) if error else "",
        notes=_notes(action),
        speed=plan.records_per_second if plan is not None else None,
        alone=plan.done_in_seconds if plan is not None else None,
    )


def _text(text: str) -> str:
    return printable(shortened(text, LONGEST))


def _labels(labels: dict[str, str]) -> dict[str, str]:
    """The labels that have a value, with at most ``LONGEST`` characters in all, and the number of the others."""
    shown: dict[str, str] = {}
    room = LONGEST
    labels = {name: value for name, value in labels.items() if value}
    for name, value in labels.items():
        if room <= 0:
            shown["…"] = f"{len(labels) - len(shown):,} more"
            break
        cut = shortened(name, room)
        shown[printable(cut)] = printable(shortened(value, max(0, room - len(cut))))
        room -= len(name) + len(value)
    return shown


def _ids(error: Problem) -> str:
    named = {
        "HTTP": error.http_status, "code": error.code, "request": error.request_id, "process": error.process_id,
    }  # fmt: skip
    return printable(", ".join(f"{name} {value}" for name, value in named.items() if value is not None))


def _and_more(action: ActionEntry) -> str:
    more = len(action.duplicate_rows) - MOST_DUPLICATES
    return f" and {more:,} more" if more > 0 else ""


def _notes(action: ActionEntry) -> str:
    """Sentences on what is unusual about the action."""
    notes = []
    if action.stop.answer is not None:
        notes.append("The response to the stop was lost. The status shows that the stop worked.")
    if action.duplicates is not None:
        where = [f"{one.source}:{one.row}" for one in action.duplicates[:MOST_DUPLICATES]]
        notes.append(f"Also at {', '.join(where)}{_and_more(action)}.")
    elif action.duplicate_rows:
        where = [str(row) for row in action.duplicate_rows[:MOST_DUPLICATES]]
        notes.append(f"Also on row {', '.join(where)}{_and_more(action)}.")
    if action.mismatch is not None:
        counted = (
            f"{name}: {counts.total} records, {counts.succeeded} succeeded, {counts.failed} failed"
            for name, counts in action.mismatch.items()
        )
        notes.append("Response file and status disagree (" + "; ".join(counted) + ").")
    return printable(" ".join(notes)) if notes else ""
