"""Sentences on who ran it and on what a verification found, for every form of the report."""

from orchestrator.report.schema import OperatorEntry, VerificationEntry

_CONFIRMED = {
    "terminal": "confirmed on the terminal",
    "option": "confirmed by --yes",
    "program": "confirmed by a program",
    None: "",
}


def verified(verification: VerificationEntry) -> str:
    """The result of a verification in one sentence."""
    when = f"{verification.ended_at[:10]} {verification.ended_at[11:19]} UTC"
    actions = f"{verification.keys:,} action{'s' * (verification.keys != 1)}"
    if holds(verification):
        are = "is" if verification.keys == 1 else "are"
        return f"Verified {when}: {actions} {are} over, and no known count changed after the end."
    return (
        f"NOT verified {when}: {verification.over:,} of {actions} over; {verification.not_over:,} not over, "
        f"{verification.changed:,} changed after the end, {verification.unread:,} not read."
    )


def holds(verification: VerificationEntry) -> bool:
    """Whether a verification found every action over and unchanged."""
    return verification.over == verification.keys and not (verification.changed or verification.unread)


def operator_parts(operator: OperatorEntry) -> list[str]:
    """Who started the run, where, with which client, and how it was confirmed."""
    parts = [f"{operator.user} on {operator.host}"]
    if operator.client_id is not None:
        parts.append(f"OAuth client {operator.client_id}")
    return [*parts, *filter(None, (_CONFIRMED[operator.confirmed],))]
