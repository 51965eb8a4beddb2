"""Find what the operator must know about an input once all of it was read."""

from orchestrator.errors import InputError
from orchestrator.journal.reader import JournalReader
from orchestrator.model import InputRow, is_bulk_key

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

    def conclude(self, reader: JournalReader, unusable: str, hint: str = "") -> str | None:
        """Return a sentence on keys that differ only in case, if there are any.

        Raises:
            InputError: there is no key. The message is ``unusable`` if the input has no row; otherwise it quotes the
                problem of the first row, and ends with ``hint``.
        """
        if not reader.any_key():
            if self.first is None:
                raise InputError(unusable)
            source, row = self.first
            hint = "" if is_bulk_key(row.key) or not row.labels else hint
            raise InputError(
                f"The input holds no usable bulk key: nothing to stop. {source}, row {row.number}: {row.problem}{hint}"
            )
        twins = reader.case_twins(_TWINS + 1) if self.mixed_case else []
        if not twins:
            return None
        pairs = ", ".join(f"{one} and {other}" for one, other in twins[:_TWINS])
        more = ", …" if len(twins) > _TWINS else ""
        return f"Keys that differ only in case are different keys; all are sent: {pairs}{more}."
