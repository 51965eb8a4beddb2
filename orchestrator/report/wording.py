"""What outcomes, errors and whole runs are called: one place for terminal, page, Markdown and JSON."""

from collections.abc import Iterator, Sequence
from typing import Literal

from msgspec import Struct

from orchestrator.errors import Kind
from orchestrator.journal.digest import Failures
from orchestrator.model import OVER, Outcome
from orchestrator.report.schema import Headline, RunEntry, Summary, Tone

Group = Literal["stopped", "over", "person", "planned"]


class Words(Struct, frozen=True):
    """What one outcome or error is called, what it means, and what a person does about it (empty: nothing).

    ``short`` is the meaning in a few words, for outcomes that need a person.
    """

    title: str
    meaning: str
    todo: str = ""
    short: str = ""


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
        "The tenant answered, but the end of the action was not seen.",
        f"{_RESUME} Give a longer --settle if these actions take long to stop.",
        "answered, end not seen",
    ),
    Outcome.REJECTED: Words(
        "Rejected",
        "The tenant refused the call permanently. The action may still run.",
        "Correct the key, the tenant or the permissions, then run: mass-stop resume --retry-rejected.",
        "refused by the tenant",
    ),
    Outcome.UNREACHABLE: Words(
        "Unreachable",
        "No call was answered. The action may still run.",
        f"{_RESUME} Look at the tenant's own page if it happens again.",
        "never answered, may still run",
    ),
    Outcome.NOT_ATTEMPTED: Words(
        "Not attempted", "No stop took effect. The action may still run.", _RESUME, "no stop took effect"
    ),
    Outcome.SKIPPED_BY_GUARD: Words(
        "Skipped by guard",
        "An expectation (--expect-…) did not hold. No stop was sent, and the action may still run.",
        "Was the guard right? If not, run these keys without it.",
        "not stopped because of a guard",
    ),
    Outcome.MALFORMED: Words(
        "Malformed",
        "The row contains no bulk key. Nothing was sent for it.",
        "Correct the row and run it by itself.",
        "no bulk key",
    ),
    Outcome.WOULD_STOP: Words("Would stop", "A run would send a stop."),
}
"""In the order in which they are shown."""

_TENANT_STATUS = "See trust.zuora.com or ask the tenant's administrator, then continue with mass-stop resume."
_CORRECT = "Correct it, then run: mass-stop resume --retry-rejected."

ERRORS: dict[str, Words] = {
    Kind.THROTTLED: Words(
        "Throttled", "The tenant's limits were reached.", f"{_RESUME} Or raise --headroom."
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
        "Give the user the permission, then run: mass-stop resume --retry-rejected.",
    ),
    Kind.INVALID_REQUEST: Words(
        "Invalid request", "The tenant does not accept this request.", f"Is the key right? {_CORRECT}"
    ),
    Kind.WRONG_STATE: Words(
        "Wrong state", "The tenant says that the action cannot be stopped in its state.", _RESUME
    ),
    Kind.NOT_FOUND: Words(
        "Not found",
        "The tenant knows no such action or file.",
        f"Is it the right tenant, and the right key? {_CORRECT}",
    ),
    Kind.UNSUPPORTED: Words(
        "Not supported", "The tenant does not offer this call.", "Ask the tenant's administrator."
    ),
    Kind.REDIRECTED: Words(
        "Redirected",
        "The address redirected the call. Redirects are not followed.",
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
    "malformed": Words(
        "No bulk key", "The row contains no bulk key.", "Correct the row and run it by itself."
    ),
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
    """The words for an error's ``kind``. A kind of a later version is called by its own name."""
    return ERRORS.get(kind, Words(kind.replace("_", " ").capitalize(), "", ""))


def group_of(outcome: Outcome) -> Group:
    """Which of the headline's figures an action of ``outcome`` counts in."""
    if outcome is Outcome.STOPPED:
        return "stopped"
    if outcome in OVER:
        return "over"
    return "planned" if outcome is Outcome.WOULD_STOP else "person"


class _Cause(Struct, frozen=True):
    """The way in which nearly all keys failed that were tried."""

    kind: str
    failed: int
    tried: int
    message: str
    bulk_key: str
    words: str
    """Which keys: ``All 500 keys``, or ``497 of the 500 keys that were tried``."""


NEARLY_ALL = 0.9
"""Share of the tried keys that fail in the same way, from which on the headline names it."""


def headline(
    run: RunEntry, summary: Summary, failures: Sequence[Failures], unread: Sequence[str], files_missing: int
) -> Headline:
    """What every form of the report says before anything else.

    Args:
        run: the run, without its headline.
        summary: its counts.
        failures: how keys failed that are not known to be over, the most frequent way first.
        unread: the names of the sources that were not read to their end.
        files_missing: response files that the tenant offers and that could not be downloaded.
    """
    cause = _common_cause(run, summary, failures)
    said_over = sum(one.said_over for one in failures)
    tone, title, sentence, quote = _state(run, summary, cause, said_over, unread)
    details = list(_details(summary, said_over, unread, files_missing))
    return Headline(
        tone, title, sentence, quote, details, _first_step(run, cause), cause.bulk_key if cause else None
    )


def _state(
    run: RunEntry, summary: Summary, cause: _Cause | None, said_over: int, unread: Sequence[str]
) -> tuple[Tone, str, str, str]:
    """Tone, title, sentence, and what the sentence quotes."""
    counts = _by_group(summary)
    every, person = sum(counts.values()), counts["person"]
    names = ", ".join("standard input" if name == "-" else name for name in unread)
    if not every and unread:
        return "bad", "Nothing was stopped", "No key was read, and the input was not read to its end:", names
    if not every:
        return "open", "Nothing to stop", "No row of the input was read.", ""
    if run.command == "plan":
        rest = f" {person:,} need a person." if person else ""
        would = f"A run would stop {counts['planned']:,} of {_actions(every)}.{rest}"
        return "plan", "Plan, no stop was sent", *(_cause_words(run, cause) if cause else (would, ""))
    if not person and unread:
        sentence = "Every action that was read is over, but the input was not read to its end:"
        return "bad", "Not all over", sentence, names
    if not person:
        none = f"None of the {_actions(every)} processes" if every > 1 else "The mass action does not process"
        return "good", "All over", f"{none} records any more.", ""
    if run.state == "running":
        sentence = f"{person:,} of {_actions(every)} were not over when this was written."
        return "open", "Not finished", sentence, ""
    if said_over == person:
        are = f"{said_over:,} of {_actions(every)} are" if every > 1 else "The mass action is"
        return "open", "Not confirmed", f"{are} over according to the tenant; {_UNREAD}", ""
    may_have_stopped = summary.timing.last_stop_seconds is not None or Outcome.UNCONFIRMED in summary.outcomes
    nothing = person == every and not may_have_stopped
    title = "Nothing was stopped" if nothing else "Not all over"
    if cause is not None:
        return "bad", title, *_cause_words(run, cause)
    if nothing:
        return "bad", title, f"None of the {_actions(every)} is known to be over.", ""
    return "bad", title, f"{person:,} of {_actions(every)} need a person.", ""


_UNREAD = "the status was not read yet."


def _details(summary: Summary, said_over: int, unread: Sequence[str], files_missing: int) -> Iterator[str]:
    person = _by_group(summary)["person"]
    if said_over:
        which = "" if said_over == person else f"{said_over:,} are over according to the tenant; {_UNREAD} "
        yield f"{which}mass-stop resume confirms it."
    if unread and person:
        yield "The input was not read to its end."
    if files_missing:
        are = "response file is" if files_missing == 1 else "response files are"
        yield f"{files_missing:,} {are} missing; the counts of these actions are those of the status."


def _common_cause(run: RunEntry, summary: Summary, failures: Sequence[Failures]) -> _Cause | None:
    """A key that was not attempted and has no error was not tried."""
    if not failures or run.state == "running":
        return None
    first = failures[0]
    refused = sum(one.keys for one in failures if one.outcome is Outcome.NOT_ATTEMPTED)
    tried = summary.keys - summary.outcomes.get(Outcome.NOT_ATTEMPTED, 0) + refused
    if first.keys < NEARLY_ALL * tried:
        return None
    keys = f"{tried:,} key{'' if tried == 1 else 's'}"
    words = f"All {keys}" if first.keys == tried else f"{first.keys:,} of the {keys}"
    words += " that were tried" if tried < summary.keys else ""
    if tried == 1:
        words = "The key" if summary.keys == 1 else "The only key that was tried"
    return _Cause(first.kind, first.keys, tried, first.message, first.bulk_key, words)


def _cause_words(run: RunEntry, cause: _Cause) -> tuple[str, str]:
    """The sentence on a common cause, and the words of the tenant that it quotes."""
    several = isinstance(run.tenants, dict)
    was = "was" if cause.failed == 1 and cause.tried == 1 else "were"
    match cause.kind:
        case Kind.NOT_FOUND:
            question = "Are they the right tenants?" if several else "Is it the right tenant?"
            if cause.failed < cause.tried or cause.tried == 1:
                tenant = "The tenants do" if several else "This tenant does"
                return f"{tenant} not know {cause.words[0].lower()}{cause.words[1:]}. {question}", ""
            tenant = "The tenants know" if several else "This tenant knows"
            return f"{tenant} none of the {cause.words.removeprefix('All ')}. {question}", ""
        case Kind.NO_PERMISSION:
            do = "read" if run.command == "plan" else "stop"
            return (
                f"This user may not {do} mass actions: {cause.words[0].lower()}{cause.words[1:]} {was} refused.",
                "",
            )
        case Kind.UNAUTHENTICATED:
            return (
                f"{cause.words} {was} refused because the tenant did not accept the token. It may have expired.",
                "",
            )
    return f"{cause.words} failed in the same way:", cause.message or error_words(cause.kind).title


def _first_step(run: RunEntry, cause: _Cause | None) -> str | None:
    """What to do before the run is resumed, followed by ``mass-stop check``; or None."""
    if run.command == "drill":
        return None
    match cause and cause.kind:
        case Kind.NOT_FOUND:
            return "Check the tenant and the keys:"
        case Kind.NO_PERMISSION:
            return "Give the user the permission (API write access), then check it:"
        case Kind.UNAUTHENTICATED:
            return "Check the credentials:"
    if run.reason and "--max-failures" in run.reason:
        return "Find out why so many keys failed:"
    return None


def _by_group(summary: Summary) -> dict[Group, int]:
    counts: dict[Group, int] = {"stopped": 0, "over": 0, "person": 0, "planned": 0}
    for outcome, count in summary.outcomes.items():
        counts[group_of(outcome)] += count
    return counts


def _actions(count: int) -> str:
    return f"{count:,} mass action{'' if count == 1 else 's'}"
