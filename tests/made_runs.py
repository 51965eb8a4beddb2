"""Constructed runs: journals with every kind of entry, made with the journal's own functions."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from orchestrator.clock import Clock
from orchestrator.journal import database
from orchestrator.journal.entries import RunInfo, TenantInfo
from orchestrator.journal.journal import Journal
from orchestrator.journal.writer import FallbackConnection
from orchestrator.model import ActionState, InputRow, Outcome, Problem, Records, Status
from tests.inline_writer import InlineWriter

WALL = 1_795_000_000.0

HOSTILE = (
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    "<!-- <script>",
    '"><svg onload=alert(1)>',
    '=HYPERLINK("http://evil.invalid")',
    "\u202egpj.exe\u2066",
    "nul\x00 bell\x07 escape\x1b[31m",
    "@channel @here <!here> <@U1>",
    "[click](http://evil.invalid) ![x](http://evil.invalid/x.png)",
    "`code` ``more`` | pipe \\| slash",
    "one\ntwo\r\nthree\u2028four",
    "{{ 7 * 7 }} {% raw %} ${7 * 7}",
    "https://evil.invalid www.evil.invalid javascript:alert(1)",
    "half \udc80 a character",
)
"""Texts with an effect if they are not handled as text."""

TYPES = ("MPU", "UpdateAccountingCode", "ImportFXRate")


def key(number: int) -> str:
    return f"{number:032x}"


class Seconds:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class MadeRun:
    """A running run in the journal of ``connection``."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        command: str = "run",
        base_url: str = "https://rest.zuora.com",
        tenants: tuple[str, ...] = (),
        *,
        complete: bool = True,
    ) -> None:
        self.connection = connection
        self.seconds = Seconds()
        self.clock = Clock(self.seconds, wall=WALL)
        self.journal = Journal(InlineWriter(FallbackConnection(connection)), self.clock)
        settings = {"headroom": 20.0, "max_failures": {"share": 0.05}}
        self.journal.begin(
            RunInfo(
                "run-1", command, "0.1", WALL - 1, self.clock.stamp(), base_url, None, (),
                settings | ({"tenants": "/folder of/tenants.toml"} if tenants else {}),
                {name: TenantInfo(base_url, None, ()) for name in tenants},
            )
        )  # fmt: skip
        self.journal.begin_session()
        self.sources = self.journal.add_sources([("keys.csv", "keys.csv"), ("<b>more</b>.csv", "more.csv")])
        if complete:
            for source in self.sources:
                self.journal.source_complete(source, None)
        self.rows = 0

    def add(
        self,
        outcome: Outcome | None,
        labels: dict[str, str] | None = None,
        bulk_key: str | None = None,
        tenant: str = "",
    ) -> str:
        """Add an action that has ``outcome`` a tenth of a second later. Return its key."""
        self.rows += 1
        self.seconds.now += 0.1
        name = bulk_key or key(self.rows)
        problem = "This is no bulk key." if outcome is Outcome.MALFORMED else None
        place = self.rows % 2
        row = InputRow(self.rows + 1, name, labels or {}, None, problem, tenant=tenant)
        self.sources[place], _ = self.journal.admit(self.sources[place], [row], False).result()
        if outcome is not None and outcome is not Outcome.MALFORMED:
            self._settle(self.rows, outcome)
        return name

    def refuse(self, problem: Problem, tenant: str = "") -> None:
        """Add an action whose stop was refused with ``problem``, and whose status was not read."""
        self.add(None, tenant=tenant)
        self.journal._writer.note("claim", tenant=tenant, most=1, intent=1)
        self.journal.stop_failed(
            self.rows, self.clock.stamp(), f"track-{self.rows}", problem, lost=False, throttled=False
        )
        self.journal.start_polling(self.rows, 0.0, claimed=False)

    def end(self, state: str = "finished", reason: str | None = None, exit_status: int = 0) -> None:
        self.journal._writer.note(
            "end_session", at=self.clock.stamp(), state=state, reason=reason, exit_status=exit_status
        )

    def _settle(self, seq: int, outcome: Outcome) -> None:
        at = self.clock.stamp()
        journal, problem = self.journal, None
        if outcome in (Outcome.STOPPED, Outcome.COMPLETED_BEFORE_STOP, Outcome.UNCONFIRMED):
            journal.accepted(seq, at, at, f"track-{seq}", f"request-{seq}", 0.0, True)
        if outcome in (Outcome.REJECTED, Outcome.UNREACHABLE):
            kind = "not_found" if outcome is Outcome.REJECTED else "timeout"
            problem = Problem(
                kind,
                50000040,
                404,
                f"No such action: {HOSTILE[seq % len(HOSTILE) - 1]}".encode("utf-8", "replace").decode(),
                f"request-{seq}",
            )
            journal.stop_failed(seq, at, f"track-{seq}", problem, lost=False, throttled=False)
        elif outcome is not Outcome.NOT_ATTEMPTED:
            total, processed = 10 * seq, 4 * seq
            status = Status.PROCESSING if outcome is Outcome.WOULD_STOP else Status.STOPPED
            records = Records(total, processed, processed - 1, 1, total - processed, "status")
            journal.status_read(seq, ActionState(status, TYPES[seq % 3], records=records), retried=False)
        journal.completed(seq, outcome, problem, 2.5 if outcome is Outcome.WOULD_STOP else None)


@contextmanager
def made_run(
    path: Path | None = None,
    command: str = "run",
    tenants: tuple[str, ...] = (),
    *,
    complete: bool = True,
) -> Iterator[MadeRun]:
    """Create a run with a journal in memory, or in the directory ``path``. ``complete``: all input is read."""
    with closing(database.create(path / "journal.db") if path else database.in_memory()) as connection:
        yield MadeRun(connection, command, tenants=tenants, complete=complete)


def one_of_each(run: MadeRun) -> None:
    """Add an action of each outcome, each with a label of hostile text."""
    hostile = [text for text in HOSTILE if text.isascii() or "\udc80" not in text]
    for number, outcome in enumerate(one for one in Outcome if one is not Outcome.WOULD_STOP):
        bad = f"{hostile[number % len(hostile)]}" if outcome is Outcome.MALFORMED else None
        run.add(outcome, {"job": f"job-{number}", "said": hostile[number % len(hostile)]}, bad)
