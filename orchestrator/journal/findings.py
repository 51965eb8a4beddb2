"""Find what the operator must know about an input once all of it was read."""

from collections.abc import Callable

from orchestrator.errors import InputError
from orchestrator.journal.reader import JournalReader
from orchestrator.model import InputRow, is_bulk_key

Notify = Callable[[str, str], None]
"""Receives an event's name and a sentence about the input for the operator."""

_TWINS = 3  # pairs of keys that differ only in case, in one message


class Findings:
    """The findings about an input once all of it was read."""

    def __init__(self) -> None:
        self.first: tuple[str, InputRow] | None = None
        self.mixed_case = False

    def add(self, source: str, row: InputRow) -> None:
        if self.first is None:
            self.first = (source, row)
        self.mixed_case = self.mixed_case or row.key != row.key.lower()

    def of_journal(self, reader: JournalReader) -> tuple[bool, list[tuple[str, str]]]:
        """Whether the journal has any key, and the first keys that differ only in case."""
        return reader.any_key(), reader.case_twins(_TWINS + 1) if self.mixed_case else []

    def report(
        self, found: tuple[bool, list[tuple[str, str]]], notify: Notify, unusable: str, hint: str = ""
    ) -> None:
        """Pass what :meth:`of_journal` returned to the operator.

        Raises:
            InputError: there is no key. The message is ``unusable`` if the input has no row; otherwise it quotes the
                problem of the first row, and ends with ``hint``.
        """
        any_key, twins = found
        if not any_key and self.first is None:
            raise InputError(unusable)
        if not any_key and self.first is not None:
            source, row = self.first
            hint = "" if is_bulk_key(row.key) or not row.labels else hint
            raise InputError(
                f"The input holds no usable bulk key: nothing to stop. {source}, row {row.number}: {row.problem}{hint}"
            )
        if twins:
            pairs = ", ".join(f"{one} and {other}" for one, other in twins[:_TWINS])
            more = ", …" if len(twins) > _TWINS else ""
            notify(
                "input.case",
                f"Keys that differ only in case are different keys; all are sent: {pairs}{more}.",
            )
