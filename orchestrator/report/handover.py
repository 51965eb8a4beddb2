"""``needs-person.csv``: every key that needs a person, in a form that the next run can read."""

from collections.abc import Iterable

from orchestrator.journal.reader import JournalReader
from orchestrator.model import GOOD, Outcome, Problem
from orchestrator.report.building import read_actions
from orchestrator.report.schema import ActionEntry
from orchestrator.report.writing import Write, write_table

NEEDS_PERSON = tuple(outcome for outcome in Outcome if outcome not in GOOD)
"""The outcomes that need a person."""

_BEFORE = ("bulk_key", "tenant", "source", "row")
_AFTER = ("outcome", "error_kind", "message")


def write_handover(reader: JournalReader, write: Write) -> None:
    """Write the table: the key and its place, a column for each label, the outcome and the last error.

    A malformed row has an empty ``bulk_key``, so that the next run skips it.
    """
    labels = _columns(name for action in _actions(reader) for name in action.labels)
    rows = (_cells(action, labels) for action in _actions(reader))
    write_table((*_BEFORE, *labels, *_AFTER), rows, write)


def _actions(reader: JournalReader) -> Iterable[ActionEntry]:
    return read_actions(reader, "actions_by_outcome", NEEDS_PERSON)


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


def _cells(action: ActionEntry, labels: dict[str, list[str]]) -> list[object]:
    error = action.error or Problem(kind="")
    malformed = action.outcome is Outcome.MALFORMED
    held = f" The row holds: {action.bulk_key}" if malformed and action.bulk_key else ""
    return [
        "" if malformed else action.bulk_key, action.tenant or "", action.source, action.row,
        *(next((action.labels[name] for name in names if name in action.labels), "") for names in labels.values()),
        action.outcome.value, error.kind, f"{error.message}{held}",
    ]  # fmt: skip
