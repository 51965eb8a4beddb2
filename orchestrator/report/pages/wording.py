"""What outcomes and errors mean to a person, and what is to be done: one place for every form of the report."""

from typing import Literal

from msgspec import Struct

from orchestrator.errors import Kind
from orchestrator.model import OVER, Outcome
from orchestrator.report import RunEntry, Summary

Group = Literal["stopped", "over", "person", "planned"]
Tone = Literal["good", "bad", "open", "plan"]


class Words(Struct, frozen=True):
    """What one outcome or error is called, what it means, and what a person does about it (empty: nothing)."""

    title: str
    meaning: str
    todo: str = ""


_RESUME = "Continue with mass-stop resume."

OUTCOMES: dict[Outcome, Words] = {
    Outcome.STOPPED: Words("Stopped", "This run's stop was accepted, and the action is Stopped."),
    Outcome.ALREADY_STOPPED: Words("Already stopped", "It was Stopped before this run's stop."),
    Outcome.ALREADY_COMPLETED: Words("Already completed", "It had completed before this run's stop."),
    Outcome.ALREADY_FAILED: Words("Already failed", "It had failed before this run's stop."),
    Outcome.COMPLETED_BEFORE_STOP: Words(
        "Completed before stop", "The stop was accepted, but the action completed."
    ),
    Outcome.UNCONFIRMED: Words(
        "Unconfirmed",
        "A stop was accepted, or may have been, and the end was not seen.",
        f"{_RESUME} Give a longer --settle if these actions take long to stop.",
    ),
    Outcome.REJECTED: Words(
        "Rejected",
        "The tenant refused the call permanently. The action may still run.",
        "Correct the key, the tenant or the permission. Then run these keys again, or add --retry-rejected to "
        "mass-stop resume.",
    ),
    Outcome.UNREACHABLE: Words(
        "Unreachable",
        "All attempts failed. The action may still run.",
        f"{_RESUME} Look at the tenant's own page if it happens again.",
    ),
    Outcome.NOT_ATTEMPTED: Words("Not attempted", "No stop took effect. The action may still run.", _RESUME),
    Outcome.SKIPPED_BY_GUARD: Words(
        "Skipped by guard",
        "An expectation (--expect-…) did not hold, so the action was not stopped and continues.",
        "Was the guard right? If not, run these keys without it.",
    ),
    Outcome.MALFORMED: Words(
        "Malformed",
        "The row holds no bulk key; nothing was sent for it.",
        "Correct the row and run it again.",
    ),
    Outcome.WOULD_STOP: Words("Would stop", "A run would send a stop."),
}
"""In the order in which they are told."""

_TENANT_STATUS = "See trust.zuora.com or ask the tenant's administrator, then continue with mass-stop resume."
_MEND = "Correct it, then run these keys again."

ERRORS: dict[str, Words] = {
    Kind.THROTTLED: Words(
        "Throttled", "The tenant's limits were reached.", f"{_RESUME} Or leave it more --headroom."
    ),
    Kind.LOCKED: Words("Locked", "Another transaction held the object.", _RESUME),
    Kind.TEMPORARY: Words("Temporary error", "The tenant reported a temporary error.", _RESUME),
    Kind.INTERNAL: Words("Internal error", "The tenant reported an error of its own.", _TENANT_STATUS),
    Kind.INTEGRATION: Words("Integration error", "A service behind the tenant failed.", _TENANT_STATUS),
    Kind.SERVER: Words("Server error", "The tenant, or a gateway before it, failed.", _TENANT_STATUS),
    Kind.TIMEOUT: Words(
        "Timed out", "No answer came within --timeout.", f"{_RESUME} Give a longer --timeout."
    ),
    Kind.CONNECTION_LOST: Words("Connection lost", "The connection broke during the call.", _RESUME),
    Kind.CONNECT_FAILED: Words(
        "Not connected", "The connection to the tenant failed.", f"Try mass-stop check. {_RESUME}"
    ),
    Kind.MALFORMED_ANSWER: Words(
        "Answer not understood", "The response is not what the API documents.", _TENANT_STATUS
    ),
    Kind.UNAUTHENTICATED: Words(
        "Not authenticated",
        "The credentials were not accepted.",
        f"Try mass-stop check and correct the credentials. {_RESUME}",
    ),
    Kind.NO_PERMISSION: Words(
        "No permission",
        "The user may not do this.",
        "Give the user the permission, then run these keys again.",
    ),
    Kind.INVALID_REQUEST: Words(
        "Invalid request", "The tenant does not accept this request.", f"Is the key right? {_MEND}"
    ),
    Kind.WRONG_STATE: Words(
        "Wrong state", "The action's state does not allow it.", "Look at the action on the tenant's own page."
    ),
    Kind.NOT_FOUND: Words(
        "Not found",
        "The tenant knows no such action or file.",
        f"Is it the right tenant, and the right key? {_MEND}",
    ),
    Kind.UNSUPPORTED: Words(
        "Not supported", "The tenant does not offer this call.", "Ask the tenant's administrator."
    ),
    Kind.REDIRECTED: Words(
        "Redirected",
        "The address redirects the call; redirects are not followed.",
        "Give the tenant's own --base-url.",
    ),
    Kind.GATEWAY: Words(
        "Gateway", "A gateway in front of the tenant answered instead of the API.", _TENANT_STATUS
    ),
    Kind.NO_RESPONSE_FILE: Words(
        "No response file",
        "The tenant named no usable address of the response file; the counts are those of the status.",
        "Run mass-stop resume to ask again.",
    ),
    Kind.ARCHIVED: Words(
        "Response file archived",
        "The tenant has archived the response file; the counts are those of the status.",
        "Restore it with the call in the message, wait 12 to 48 hours, then run mass-stop resume.",
    ),
    Kind.TOO_LARGE: Words(
        "Too large",
        "The answer or file is larger than the API allows.",
        "Fetch the file by hand if it is right.",
    ),
    Kind.BAD_FILE: Words(
        "Response file unusable",
        "The file is broken; the counts are those of the status.",
        "Fetch the file by hand.",
    ),
    Kind.UNKNOWN: Words("Unknown error", "The tenant gave a reason that is not documented.", _TENANT_STATUS),
    "malformed": Words("No bulk key", "The row holds no bulk key.", "Correct the row and run it again."),
    "unexpected_action": Words(
        "Not as expected", "An expectation (--expect-…) did not hold.", "Was the guard right?"
    ),
    "not_settled": Words(
        "End not seen",
        "The action did not end within --settle.",
        f"{_RESUME} Give a longer --settle.",
    ),
}


def error_words(kind: str) -> Words:
    """Of an error's ``kind``; what is not known by name (a later version's) is called what it is."""
    return ERRORS.get(kind, Words(kind.replace("_", " ").capitalize(), "", ""))


def group_of(outcome: Outcome) -> Group:
    """Which of the headline's figures an action of ``outcome`` counts in."""
    if outcome is Outcome.STOPPED:
        return "stopped"
    if outcome in OVER:
        return "over"
    return "planned" if outcome is Outcome.WOULD_STOP else "person"


class Headline(Struct, frozen=True):
    """Is it over? ``title`` in three words, ``sentence`` with the number."""

    tone: Tone
    title: str
    sentence: str


def headline(run: RunEntry, summary: Summary) -> Headline:
    """What the report says before anything else."""
    counts: dict[Group, int] = {"stopped": 0, "over": 0, "person": 0, "planned": 0}
    for outcome, count in summary.outcomes.items():
        counts[group_of(outcome)] += count
    every, person = sum(counts.values()), counts["person"]
    if not every:
        return Headline("open", "Nothing to stop", "No row of the input was read.")
    if run.command == "plan":
        return Headline("plan", "A plan: no stop was sent", _planned(counts["planned"], every, person))
    if not person:
        which = (
            f"None of the {_actions(every)} processes" if every > 1 else "The mass action does not process"
        )
        return Headline("good", "All over", f"{which} records any more.")
    if run.state == "running":
        return Headline(
            "open", "Not finished", f"{person:,} of {_actions(every)} were not over when this was written."
        )
    may_have_stopped = summary.timing.last_stop_seconds is not None or Outcome.UNCONFIRMED in summary.outcomes
    if person == every and not may_have_stopped:
        return Headline("bad", "Nothing was stopped", f"None of the {_actions(every)} is known to be over.")
    return Headline("bad", "Not all over", f"{person:,} of {_actions(every)} need a person.")


def _planned(would: int, every: int, person: int) -> str:
    rest = f" {person:,} need a person." if person else ""
    return f"A run would stop {would:,} of {_actions(every)}.{rest}"


def _actions(count: int) -> str:
    return f"{count:,} mass action{'' if count == 1 else 's'}"
