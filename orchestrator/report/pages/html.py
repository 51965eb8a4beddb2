"""``report.html``: one file with everything in it, written piece by piece so that memory does not grow with the keys.

The actions travel as JSON in blocks of script elements that no browser runs; the page's own script shows them a page at
a time. What a reader sees before that, or without scripts, is plain HTML. Every text from outside passes
:func:`~orchestrator.printable.printable`, and then Jinja2's autoescaping or the JSON.
"""

import base64
import hashlib
import re
import shlex
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from itertools import islice
from pathlib import Path

import jinja2
import msgspec
from jinja2.bccache import Bucket
from markupsafe import Markup, escape
from msgspec import Struct

from orchestrator.durations import show_rounded
from orchestrator.journal.reader import Actions, JournalReader
from orchestrator.printable import printable, shortened
from orchestrator.report import ActionEntry, PlanEntry, Write, read_actions, write_json
from orchestrator.report.pages.breakdowns import NO_TYPE
from orchestrator.report.pages.charts import draw
from orchestrator.report.pages.evidence import holds, operator_parts, verified
from orchestrator.report.pages.timeline import read_timeline
from orchestrator.report.pages.view import read_view
from orchestrator.report.wording import OUTCOMES, error_words, group_of
from orchestrator.results.index import FOLDERS, PAYMENTS, read_index

ROWS_IN_BLOCK = 2_000
ROOM = 18 << 20
"""Bytes of actions in one page: with all the rest it stays below 25 MB."""

LONGEST = 1_000
"""Characters of an action's labels, of its message or of its key that the page shows."""

ROWS_AT_ONCE = 100
"""Actions that are in the page as HTML: the script's first page, and all there is without scripts."""

MOST_DUPLICATES = 20
"""Rows of one key's duplicates that are named; the report has them all."""

_TEMPLATES = Path(__file__).parent / "templates"


class Row(Struct, frozen=True, array_like=True):
    """One action as the page's script gets it: a JSON array in the order of these fields. Every text is visible."""

    bulk_key: str
    tenant: str
    outcome: str
    status: str | None
    action_type: str
    accepted_at: str | None
    attempts: int
    total: int | None
    succeeded: int | None
    failed: int | None
    unprocessed: int | None
    source: str
    row: int
    labels: str
    error: str
    message: str
    track_id: str | None
    request_id: str | None
    error_ids: str
    notes: str
    speed: float | None
    """``plan`` only: records a second."""
    alone: float | None
    """``plan`` only: seconds until it would be over without a stop."""

    @property
    def title(self) -> str:
        """What the outcome is called."""
        return OUTCOMES[_OUTCOME_OF[self.outcome]].title

    @property
    def group(self) -> str:
        """What the outcome counts as."""
        return group_of(_OUTCOME_OF[self.outcome])


_OUTCOME_OF = {outcome.value: outcome for outcome in OUTCOMES}
_BLANK = Row(
    "",
    "",
    "stopped",
    None,
    "",
    None,
    0,
    None,
    None,
    None,
    None,
    "",
    0,
    "",
    "",
    "",
    None,
    None,
    "",
    "",
    None,
    None,
)


class Selection(Struct, frozen=True):
    """The actions that the page shows: the first ``shown`` rows of the statement ``which``."""

    which: Actions
    shown: int
    complete: bool
    """Whether these are all actions of the run."""

    def read(self, reader: JournalReader) -> Iterator[Row]:
        """The selected actions, in input order."""
        return map(_row, islice(read_actions(reader, self.which, _PEOPLE), self.shown))


_PEOPLE = [outcome for outcome in OUTCOMES if group_of(outcome) == "person"]


def select(reader: JournalReader, actions: int, people: int) -> Selection:
    """All ``actions`` if the page has room for them, otherwise the ``people`` that need a person, as far as they fit.

    If no action needs a person, the first that fit are shown.
    """
    fitting = _count_fitting(map(_row, read_actions(reader)))
    if fitting == actions or not people:
        return Selection("actions", fitting, fitting == actions)
    which: Actions = "actions_by_outcome"
    fitting = _count_fitting(map(_row, read_actions(reader, which, _PEOPLE)))
    return Selection(which, fitting, complete=False)


def _count_fitting(rows: Iterable[Row]) -> int:
    size = count = 0
    for row in rows:
        size += len(_safe_json(msgspec.json.encode(row)).encode()) + 1
        if size > ROOM:
            break
        count += 1
    return count


def write_html(reader: JournalReader, write: Write, directory: Path, sha256: str | None) -> None:
    """Writes the page of the run in ``directory`` to ``write``.

    ``sha256`` is of the ``report.json`` made from this journal; None where there is none.
    """
    view = read_view(reader)
    timeline = read_timeline(reader)
    selection = select(reader, view.actions, view.groups["person"])
    pieces = _template().generate(
        view=view,
        index=read_index(directory),
        folders=FOLDERS,
        payments=PAYMENTS,
        remediation=printable(str(directory / "remediation")),
        timeline=timeline,
        charts=draw(timeline, view.summary.keys, planning=view.run.command == "plan"),
        command=lambda words: f"mass-stop {words} {printable(shlex.quote(str(directory)))}",
        report_sha256=sha256,
        style=_part("page.css"),
        script=_part("page.js"),
        policy=_policy(),
        blank=_BLANK,
        selection=selection,
        first_rows=list(islice(selection.read(reader), ROWS_AT_ONCE)),
        blocks=_blocks(selection.read(reader)),
        setup=_safe_json(
            msgspec.json.encode(
                {
                    "fields": Row.__struct_fields__,
                    "titles": {outcome.value: words.title for outcome, words in OUTCOMES.items()},
                    "groups": {outcome.value: group_of(outcome) for outcome in OUTCOMES},
                    "actions": view.actions,
                }
            )
        ),
    )
    for piece in pieces:
        write(piece.encode("utf-8"))


def report_sha256(reader: JournalReader) -> str:
    """Of the ``report.json`` that this journal makes, whatever file of that name there may be."""
    digest = hashlib.sha256()
    write_json(reader, digest.update)
    return digest.hexdigest()


def _blocks(rows: Iterator[Row]) -> Iterator[Markup]:
    while block := list(islice(rows, ROWS_IN_BLOCK)):
        yield _safe_json(msgspec.json.encode(block))


def _safe_json(data: bytes) -> Markup:
    """JSON that is safe in a script element: nothing in it ends the element or begins a comment (HTML, 4.12.1.3)."""
    return Markup(data.replace(b"<", b"\\u003c").decode())  # autoescaping is for HTML, and this is none


def _row(action: ActionEntry) -> Row:
    records, stop, error, plan = action.records, action.stop, action.error, action.plan
    return Row(
        bulk_key=_text(action.bulk_key),
        tenant=_text(action.tenant) if isinstance(action.tenant, str) else "",
        outcome=str(action.outcome),
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
        labels=_labels(action.labels) if action.labels else "",
        error=error_words(error.kind).title if error else "",
        message=_text(error.message) if error else "",
        track_id=stop.track_id,
        request_id=printable(stop.request_id) if stop.request_id else None,
        error_ids=_error_ids(action) if error else "",
        notes=_notes(action),
        speed=plan.records_per_second if plan is not None else None,
        alone=_alone(plan) if plan is not None else None,
    )


def _text(text: str) -> str:
    return printable(shortened(text, LONGEST))


def _labels(labels: dict[str, str]) -> str:
    return _text(" · ".join(f"{name}: {value}" for name, value in labels.items()))


def _alone(plan: PlanEntry) -> float | None:
    return (
        round(plan.remaining / plan.records_per_second, 1)
        if plan.records_per_second and plan.remaining
        else None
    )


def _error_ids(action: ActionEntry) -> str:
    error = action.error
    if error is None:
        return ""
    named = {
        "HTTP": error.http_status, "code": error.code, "request": error.request_id, "process": error.process_id,
    }  # fmt: skip
    return printable(", ".join(f"{name} {value}" for name, value in named.items() if value is not None))


def _and_more(action: ActionEntry) -> str:
    more = len(action.duplicate_rows) - MOST_DUPLICATES
    return f" and {more:,} more" if more > 0 else ""


def _notes(action: ActionEntry) -> str:
    """What is out of the ordinary."""
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
        told = (
            f"{name}: {counts.total} records, {counts.succeeded} succeeded, {counts.failed} failed"
            for name, counts in action.mismatch.items()
        )
        notes.append("Response file and status disagree (" + "; ".join(told) + ").")
    return printable(" ".join(notes)) if notes else ""


def _commands(sentence: str) -> Markup:
    """A sentence of ours with its commands and options as code, which is not broken between two lines."""
    spelled = re.sub(
        r"mass-stop [a-z]+|--[a-z][a-z…-]*", r'<code class="spelled">\g<0></code>', str(escape(sentence))
    )
    return Markup(spelled)


@cache
def _part(name: str) -> Markup:
    """A file of ours that goes into the page as it is."""
    return Markup((_TEMPLATES / name).read_text("utf-8"))


@cache
def _policy() -> str:
    """The content security policy: nothing is loaded, and only these two elements of the page have an effect."""

    def source(name: str) -> str:
        digest = hashlib.sha256(_part(name).encode()).digest()
        return f"'sha256-{base64.b64encode(digest).decode()}'"

    return (
        f"default-src 'none'; script-src {source('page.js')}; style-src {source('page.css')}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


class _Compiled(jinja2.FileSystemBytecodeCache):
    """Templates that were compiled once stay so, beside their sources, as Python's modules do.

    Compiling them takes most of the time that the page of a short run takes. Where nothing can be written, or shall
    not (``PYTHONDONTWRITEBYTECODE``), each run compiles them again.
    """

    def __init__(self) -> None:
        super().__init__(str(_TEMPLATES / "__pycache__"))

    def load_bytecode(self, bucket: Bucket) -> None:
        with suppress(OSError):
            super().load_bytecode(bucket)

    def dump_bytecode(self, bucket: Bucket) -> None:
        if sys.dont_write_bytecode:
            return
        with suppress(OSError):
            Path(self.directory).mkdir(exist_ok=True)
            super().dump_bytecode(bucket)


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        bytecode_cache=_Compiled(),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "verified": verified,
        "holds": holds,
        "operator_parts": operator_parts,
        "commands": _commands,
        "number": lambda value: "–" if value is None else f"{value:,}",
        "duration": show_rounded,
        "share": lambda part, whole: f"{100 * part / whole:.2f}",
        "visible": printable,
    }
    return environment.get_template("page.html")
