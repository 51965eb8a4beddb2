"""The names of outcomes and errors: one place for terminal, page and Markdown."""

from collections.abc import Mapping
from typing import Literal, get_args

from msgspec import Struct

from orchestrator.errors import Kind
from orchestrator.model import OVER, Outcome

Group = Literal["stopped", "over", "despite", "person", "planned"]
"""The class of an action in the figures. ``despite``: it ran to its end although the stop was accepted."""


class Words(Struct, frozen=True):
    """The name of one outcome or error, its meaning, and the next step for a person (empty: nothing).

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
        "Completed despite stop", "The stop was accepted, but the action ran to its end first."
    ),
    Outcome.UNCONFIRMED: Words(
        "Unconfirmed",
        "The end of the action was not seen, so it is not confirmed as over.",
        f"{_RESUME} Give a longer --settle if these actions take long to stop.",
        "end not seen",
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
        "The row contains no bulk key, or no known tenant in a run of several. Nothing was sent for it.",
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
        "Download the file by hand if it is right.",
    ),
    Kind.BAD_FILE: Words(
        "Response file unusable",
        "The file is broken; the counts are those of the status.",
        "Download the file by hand.",
    ),
    Kind.UNKNOWN: Words("Unknown error", "The tenant gave a reason that is not documented.", _TENANT_STATUS),
    "malformed": Words(
        "Malformed row",
        "The row contains no bulk key, or no known tenant in a run of several.",
        "Correct the row and run it by itself.",
    ),
    "unexpected_action": Words(
        "Not as expected", "An expectation (--expect-…) did not hold.", "Was the guard right?"
    ),
    "not_settled": Words(
        "End not seen", "The action did not end within --settle.", f"{_RESUME} Give a longer --settle."
    ),
}


RUN_AGAIN = (
    "The journal is damaged, so this run is not resumed. To stop the rest, run the same input again with "
    "another --out. An action that is stopped already stays stopped."
)
"""The next step after a damaged journal."""


def error_words(kind: str) -> Words:
    """The words for an error's ``kind``. A kind of a later version is called by its own name."""
    return ERRORS.get(kind, Words(kind.replace("_", " ").capitalize(), "", ""))


def by_group(outcomes: Mapping[Outcome, int]) -> dict[Group, int]:
    """The number of actions in each group."""
    counts: dict[Group, int] = dict.fromkeys(get_args(Group), 0)
    for outcome, count in outcomes.items():
        counts[group_of(outcome)] += count
    return counts


def group_of(outcome: Outcome) -> Group:
    """Which of the headline's figures an action of ``outcome`` counts in."""
    if outcome is Outcome.STOPPED:
        return "stopped"
    if outcome is Outcome.COMPLETED_BEFORE_STOP:
        return "despite"
    if outcome in OVER:
        return "over"
    return "planned" if outcome is Outcome.WOULD_STOP else "person"
