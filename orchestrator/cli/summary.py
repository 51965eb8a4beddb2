"""The closing summary: is it over, what went through, what is to be done next."""

from pathlib import Path

from orchestrator.model import OVER, Outcome
from orchestrator.settings import show_duration
from orchestrator.store.report import RunEntry, Summary

_OVER_BY_THEMSELVES = tuple(sorted(OVER - {Outcome.STOPPED}))
_PERSON = {
    Outcome.UNCONFIRMED: "stop sent, end not seen",
    Outcome.REJECTED: "refused by the tenant",
    Outcome.UNREACHABLE: "not reached, may still run",
    Outcome.NOT_ATTEMPTED: "not sent",
    Outcome.SKIPPED_BY_GUARD: "left alone by a guard",
    Outcome.MALFORMED: "no bulk key",
}


def closing(
    run: RunEntry, summary: Summary, directory: Path, troubles: list[str], *, saved: bool, files_missing: int
) -> str:
    """What the operator reads last, in a few lines."""
    lines = [_headline(run, summary), *_outcomes(run, summary), *_records(run, summary), *_timing(summary)]
    if files_missing:
        lines.append(
            f"  files missing  {files_missing} response files (see error in the report); the status's counts stand"
        )
    lines += [f"  trouble        {trouble}" for trouble in troubles]
    lines.append(
        f"  report         {directory / 'report.json'}"
        if saved
        else "  report         NOT SAVED: it follows here"
    )
    lines += _next(run, summary, directory)
    return "\n".join(lines)


def _headline(run: RunEntry, summary: Summary) -> str:
    good = sum(summary.outcomes.get(outcome, 0) for outcome in OVER)
    total = sum(summary.outcomes.values())
    if run.command == "plan":
        return f"Planned: {total} keys read, no stop was sent."
    if good == total and total:
        return f"All over: none of the {total} mass actions processes records any more."
    reason = f"{run.reason}\n" if run.reason else ""
    may_have_stopped = summary.timing.last_stop_seconds is not None or Outcome.UNCONFIRMED in summary.outcomes
    if not good and not may_have_stopped:
        return f"{reason}NOTHING was stopped: {total} mass actions go on."
    return f"{reason}NOT all over: {total - good} of {total} mass actions need a look."


def _outcomes(run: RunEntry, summary: Summary) -> list[str]:
    counts = summary.outcomes
    lines = []
    if run.command == "plan":
        lines.append(f"  would stop     {counts.get(Outcome.WOULD_STOP, 0)}")
    else:
        lines.append(f"  stopped        {counts.get(Outcome.STOPPED, 0)}")
    over = {outcome: counts[outcome] for outcome in _OVER_BY_THEMSELVES if counts.get(outcome)}
    if over:
        parts = ", ".join(f"{count} {outcome.value}" for outcome, count in over.items())
        lines.append(f"  already over   {sum(over.values())} ({parts})")
    for outcome, meaning in _PERSON.items():
        if counts.get(outcome):
            lines.append(f"  needs a look   {counts[outcome]} {outcome.value} ({meaning})")
    if summary.duplicates:
        lines.append(f"  duplicates     {summary.duplicates} (each key was stopped once)")
    return lines


def _records(run: RunEntry, summary: Summary) -> list[str]:
    records = summary.records
    if not records.total:
        return []
    rest = "left" if run.command == "plan" else "not processed"
    through = f"{records.processed} went through ({records.succeeded} succeeded, {records.failed} failed)"
    return [f"  records        {through}, {records.unprocessed} {rest}"]


def _timing(summary: Summary) -> list[str]:
    timing = summary.timing
    if timing.last_stop_seconds is None:
        return []
    calls = summary.calls
    made = f"{calls.stop} stop, {calls.status} status, {calls.file} file"
    settled = (
        ""
        if timing.settled_seconds is None
        else f", all settled after {show_duration(round(timing.settled_seconds, 1))}"
    )
    return [
        f"  time           last stop accepted after {show_duration(round(timing.last_stop_seconds, 1))}{settled}",
        f"  calls          {made}; {calls.retried} tried again, {calls.throttled} throttled",
    ]


def _next(run: RunEntry, summary: Summary, directory: Path) -> list[str]:
    if run.command == "plan":
        return [f"  next           mass-stop run --plan {directory}"]
    open_ends = (Outcome.UNCONFIRMED, Outcome.UNREACHABLE, Outcome.NOT_ATTEMPTED)
    lines = []
    if run.command != "drill" and any(summary.outcomes.get(outcome) for outcome in open_ends):
        lines.append(f"  next           mass-stop resume {directory}")
    if (directory / "remediation").is_dir() and (summary.records.failed or summary.records.unprocessed):
        lines.append(f"  their rows     {directory / 'remediation'} holds them, by what became of each")
    return lines
