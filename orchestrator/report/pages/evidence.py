"""Sentences on who ran it and on what a verification found, for every form of the report."""

import shlex

from orchestrator.journal.entries import Operator
from orchestrator.printable import counted
from orchestrator.report.schema import VerificationEntry

_CONFIRMED = {
    "terminal": "confirmed on the terminal",
    "option": "confirmed by --yes",
    "program": "confirmed by a program",
    None: "",
}
_FACTS = ("Operator", "Host", "OAuth client", "Confirmation", "Command", "Reason", "Ticket")


def verified(verification: VerificationEntry) -> str:
    """The result of a verification in one sentence."""
    when = f"{verification.ended_at[:10]} {verification.ended_at[11:19]} UTC"
    keys = counted(verification.keys, "action")
    if verification.held:
        are = "is" if verification.keys == 1 else "are"
        return f"Verified {when}: {keys} {are} over, and no known count changed after the end."
    found = {
        "not over": verification.not_over,
        "changed after the end": verification.changed,
        "could not be read": verification.unread,
    }
    parts = [
        f"{verification.over:,} of {keys} over",
        *(f"{count:,} {what}" for what, count in found.items() if count),
    ]
    return f"Not verified {when}: {', '.join(parts)}."


def operator_parts(operator: Operator) -> list[str]:
    """The operator, the host, the client, and how the run was confirmed."""
    parts = [f"{operator.user} on {operator.host}"]
    if operator.client_id is not None:
        parts.append(f"OAuth client {operator.client_id}")
    return [*parts, *filter(None, (_CONFIRMED[operator.confirmed],))]


def operator_facts(operator: Operator | None) -> dict[str, str | None]:
    """The same by name, with the command, the reason and the ticket; None for what is not known or was not given."""
    if operator is None:
        return dict.fromkeys(_FACTS)
    confirmation = _CONFIRMED[operator.confirmed] or "not needed: nothing real was stopped"
    command = shlex.join(operator.command_line) or None
    who = (operator.user, operator.host, operator.client_id)
    return dict(zip(_FACTS, (*who, confirmation, command, operator.reason, operator.ticket), strict=True))
