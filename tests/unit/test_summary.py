"""The closing summary claims no more than is known."""

from pathlib import Path
from typing import Any

from orchestrator.cli.summary import closing
from orchestrator.model import Outcome
from orchestrator.store.report import CallTotals, RecordTotals, RunEntry, Summary, TenantEntry, Timing

DIRECTORY = Path("runs/one")


def said(
    outcomes: dict[Outcome, int], *, last_stop: float | None = None, files_missing: int = 0, **run: Any
) -> str:
    """The summary of a run with these outcomes."""
    entry = RunEntry(
        id="one",
        command="run",
        version="0",
        started_at="2026-11-23T22:50:13.123Z",
        ended_at=None,
        duration_seconds=None,
        tenant=TenantEntry("https://rest.zuora.com", None, ()),
        sources=[],
        state=run.get("state", "finished"),
        reason=run.get("reason"),
        resumed=0,
        exit_status=0,
    )
    summary = Summary(
        keys=sum(outcomes.values()),
        duplicates=0,
        malformed=0,
        outcomes=outcomes,
        records=RecordTotals(0, 0, 0, 0, 0),
        calls=CallTotals(0, 0, 0, 0, 0, 0),
        timing=Timing(None, last_stop, None),
    )
    return closing(entry, summary, DIRECTORY, [], saved=True, files_missing=files_missing)


def test_where_no_stop_may_have_worked_nothing_was_stopped():
    assert "NOTHING was stopped: 3 mass actions go on." in said({Outcome.NOT_ATTEMPTED: 3}, state="aborted")


def test_where_a_stop_may_have_worked_it_is_not_said_that_nothing_was_stopped():
    assert "NOTHING" not in said({Outcome.UNCONFIRMED: 3}, state="aborted")


def test_the_reason_comes_first():
    text = said({Outcome.NOT_ATTEMPTED: 3}, state="aborted", reason="The credentials were refused.")
    assert text.startswith("The credentials were refused.\n")


def test_a_run_cut_when_every_action_was_over_says_so():
    assert said({Outcome.STOPPED: 3}, last_stop=1.0, state="interrupted").startswith("All over")


def test_missing_response_files_are_said():
    assert "files missing  2" in said({Outcome.STOPPED: 3}, last_stop=1.0, files_missing=2)


def test_no_missing_response_files_are_not_said():
    assert "files missing" not in said({Outcome.STOPPED: 3}, last_stop=1.0)


def test_open_ends_name_the_command_that_goes_on():
    assert f"mass-stop resume {DIRECTORY}" in said({Outcome.UNCONFIRMED: 1}, last_stop=1.0)
