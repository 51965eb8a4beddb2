"""The headline of a run or of one of its tenants: whether it is over, in one sentence for every form of the report."""

from collections.abc import Iterator, Sequence

from msgspec import Struct, structs

from orchestrator.errors import Kind
from orchestrator.journal.digest import Failures
from orchestrator.model import Outcome
from orchestrator.printable import counted
from orchestrator.report.schema import Headline, RunEntry, Summary, TenantRunEntry, Tone
from orchestrator.report.wording import by_group, error_words


class _Cause(Struct, frozen=True):
    """The failure that nearly all tried keys have in common."""

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
    run: RunEntry,
    summary: Summary,
    failures: Sequence[Failures],
    unread: Sequence[str],
    files_missing: int,
    missing: Sequence[str] = (),
) -> Headline:
    """The headline of every form of the report.

    Args:
        run: the run, without its headline.
        summary: its counts.
        failures: how keys failed that are not known to be over, the most frequent way first.
        unread: the names of the sources that were not read to their end.
        files_missing: response files that the tenant offers and that could not be downloaded.
        missing: sentences on what the journal has lost.
    """
    cause = _common_cause(run, summary, failures)
    said_over = sum(one.said_over for one in failures)
    tone, title, sentence, quote = _state(run, summary, cause, said_over, unread)
    details = list(_details(run, summary, said_over, unread, files_missing))
    if missing:
        details = [*missing, f"What could be read: {title}. {sentence} {quote}".rstrip(), *details]
        tone, title, sentence, quote = _DAMAGED
    return Headline(
        tone, title, sentence, quote, details, _first_step(run, cause), cause.bulk_key if cause else None
    )


def tenant_headline(run: RunEntry, tenant: TenantRunEntry, summary: Summary, said_over: int) -> Headline:
    """The headline of one ``tenant`` of a ``run`` of several.

    Args:
        run: the run.
        tenant: the tenant and how its part ended.
        summary: the counts of its actions.
        said_over: its keys that are over according to the tenant and whose status was not read.
    """
    if not summary.outcomes:
        return Headline("open", "Nothing to stop", "No row of the input names this tenant.")
    state = run.state if tenant.state == "unused" else tenant.state
    return Headline(*_state(structs.replace(run, state=state), summary, None, said_over, ()))


def _state(
    run: RunEntry, summary: Summary, cause: _Cause | None, said_over: int, unread: Sequence[str]
) -> tuple[Tone, str, str, str]:
    """Tone, title, sentence, and what the sentence quotes."""
    counts = by_group(summary.outcomes)
    every, person = sum(counts.values()), counts["person"]
    actions = counted(every, "mass action")
    names = ", ".join("standard input" if name == "-" else name for name in unread)
    if not every and unread:
        return "bad", "Nothing was stopped", "No key was read, and the input was not read to its end:", names
    if not every:
        return "open", "Nothing to stop", "No row of the input was read.", ""
    if run.command == "plan":
        would = _would_stop(summary, counts["planned"], person)
        return "plan", "Plan, no stop was sent", *(_cause_words(run, cause) if cause else (would, ""))
    if not person and unread:
        sentence = "Every action that was read is over, but the input was not read to its end:"
        return "bad", "Not all over", sentence, names
    if not person:
        none = f"None of the {actions} processes" if every > 1 else "The mass action does not process"
        return "good", "All over", f"{none} records any more.", ""
    if said_over == person:
        are = (
            f"{said_over:,} of {actions} {'is' if said_over == 1 else 'are'}"
            if every > 1
            else "The mass action is"
        )
        title = "Not finished" if run.state == "running" else "Not confirmed"
        return "open", title, f"{are} over according to the tenant; {_UNREAD}", ""
    if run.state == "running":
        left = person - said_over
        were = (
            f"{left:,} of {actions} {'was' if left == 1 else 'were'}" if every > 1 else "The mass action was"
        )
        return "open", "Not finished", f"{were} not known to be over when this was written.", ""
    may_have_stopped = summary.timing.last_stop_seconds is not None or Outcome.UNCONFIRMED in summary.outcomes
    nothing = person == every and not may_have_stopped
    title = "Nothing was stopped" if nothing else "Not all over"
    if cause is not None:
        return "bad", title, *_cause_words(run, cause)
    if nothing:
        none = f"None of the {actions} is" if every > 1 else "The mass action is not"
        return "bad", title, f"{none} known to be over.", ""
    return "bad", title, f"{person:,} of {actions} {'needs' if person == 1 else 'need'} a person.", ""


def _would_stop(summary: Summary, planned: int, person: int) -> str:
    """The headline of a plan of which ``planned`` actions would be stopped and ``person`` rows need a person.

    A malformed row names no action: its status cannot be read, also in a plan that is finished. A plan reads a status
    twice for its speed. If it was cut between them, the first is known, and the reading was not completed.
    """
    sentence = f"A run would stop {planned:,} of {counted(summary.keys, 'mass action')}."
    unread = summary.outcomes.get(Outcome.NOT_ATTEMPTED, 0)
    if unread and unread == summary.keys:
        sentence = f"The reading of {counted(unread, 'mass action')} was not completed."
    elif unread:
        read = counted(summary.keys - unread, "mass action")
        sentence = (
            f"A run would stop {planned:,} of the {read} whose status was read; "
            f"the reading of {unread:,} was not completed."
        )
    if person > unread:
        sentence += f" {person - unread:,} {'needs' if person - unread == 1 else 'need'} a person."
    return sentence


_DAMAGED: tuple[Tone, str, str, str] = (
    "bad",
    "Journal damaged",
    "Part of the journal is lost. This report shows only what could be read.",
    "",
)
_UNREAD = "the status was not read yet."


def _details(
    run: RunEntry, summary: Summary, said_over: int, unread: Sequence[str], files_missing: int
) -> Iterator[str]:
    person = by_group(summary.outcomes)["person"]
    if said_over:
        which = "" if said_over == person else f"{said_over:,} are over according to the tenant; {_UNREAD} "
        if run.state != "running" and run.command != "drill":
            which += "mass-stop resume confirms it."
        if which:
            yield which.rstrip()
    if unread and (person or run.command == "plan"):
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
    keys = counted(tried, "key")
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
    """The step before the run is resumed, followed by ``mass-stop check``; or None."""
    if run.command == "drill":
        return None
    match cause and cause.kind:
        case Kind.NOT_FOUND:
            return "Check the tenant and the keys:"
        case Kind.NO_PERMISSION:
            return "Give the user the permission (API write access), then check it:"
        case Kind.UNAUTHENTICATED:
            return "Check the credentials:"
    if run.exit_status == 3:
        return "Find out what is wrong with the tenant or the credentials:"
    tenants = run.tenants.values() if isinstance(run.tenants, dict) else ()
    if any("--max-failures" in (reason or "") for reason in (run.reason, *(one.reason for one in tenants))):
        return "Find out why so many keys failed:"
    return None
