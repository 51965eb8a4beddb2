"""Actions and their records, added up by one property after the other."""

from collections.abc import Callable, Iterable
from typing import Any

from msgspec import Struct

from orchestrator.journal.reader import JournalReader
from orchestrator.model import Outcome, add_known
from orchestrator.report.wording import OUTCOMES

MOST_SHARES = 200
"""Lines of one breakdown that are shown: action types are the tenant's texts."""

NO_TYPE = "not known"


class Sums(Struct, frozen=True):
    """Actions of one kind; ``known`` of them have counts, and the counts are of their records.

    A count is None if no action has it. ``held`` of the unprocessed records are behind a failed record of their group.
    """

    actions: int = 0
    known: int = 0
    total: int | None = 0
    processed: int | None = 0
    succeeded: int | None = 0
    failed: int | None = 0
    unprocessed: int | None = 0
    held: int | None = 0

    @property
    def unknown(self) -> int:
        """Actions without counts."""
        return self.actions - self.known

    @property
    def counted(self) -> int:
        """Records whose fate is known. It may differ from ``total`` where a tenant's own counts do not add up."""
        return (self.succeeded or 0) + (self.failed or 0) + (self.unprocessed or 0)

    def __add__(self, other: "Sums") -> "Sums":
        if not self.actions or not other.actions:
            return self if self.actions else other
        sums = (add_known(getattr(self, name), getattr(other, name)) for name in self.__struct_fields__[2:])
        return Sums(self.actions + other.actions, self.known + other.known, *sums)


class Share(Struct, frozen=True):
    """One line of a breakdown. ``field`` and ``value`` say which actions it counts, in the table's terms.

    ``value`` is empty for a line that adds up all others.
    """

    name: str
    field: str
    value: str
    sums: Sums


class Breakdown(Struct, frozen=True):
    """Actions and their records by one property, whose name is the head of its ``column``."""

    column: str
    shares: list[Share]

    @property
    def title(self) -> str:
        return f"By {self.column.lower()}"

    @property
    def unknown(self) -> int:
        """Actions without counts."""
        return sum(share.sums.unknown for share in self.shares)


class Cell(Struct, frozen=True):
    """The counts of one row of the statement ``groups``."""

    tenant: str
    outcome: Outcome
    action_type: str
    source: int
    sums: Sums


def added(cells: Iterable[Cell], by: Callable[[Cell], Any]) -> dict[Any, Sums]:
    """The sums of ``cells`` by what ``by`` returns for each."""
    sums: dict[Any, Sums] = {}
    for cell in cells:
        sums[by(cell)] = sums.get(by(cell), Sums()) + cell.sums
    return sums


def read_breakdowns(reader: JournalReader, cells: list[Cell], *, tenants: bool) -> list[Breakdown]:
    """By outcome, action type and source, and with ``tenants`` also by tenant."""
    by_outcome = added(cells, lambda cell: cell.outcome)
    by_type = added(cells, lambda cell: cell.action_type or NO_TYPE)
    by_source = added(cells, lambda cell: cell.source)
    by_tenant = added(cells, lambda cell: cell.tenant) if tenants else {}
    sources = [(source.id, source.name) for source in reader.sources()]
    found = {
        "outcome": [
            (words.title, outcome.value, by_outcome[outcome])
            for outcome, words in OUTCOMES.items()
            if outcome in by_outcome
        ],
        "tenant": [(name or "none", name, sums) for name, sums in sorted(by_tenant.items())],
        "action_type": [
            (name, name, sums) for name, sums in sorted(by_type.items(), key=lambda one: -one[1].actions)
        ],
        "source": [(name, name, by_source.get(number, Sums())) for number, name in sources],
    }
    return [_breakdown(field, lines) for field, lines in found.items() if tenants or field != "tenant"]


def _breakdown(field: str, lines: list[tuple[str, str, Sums]]) -> Breakdown:
    """A share for each line, or for those with the most actions and one for all others."""
    shares = [Share(name, field, value, sums) for name, value, sums in lines]
    if len(shares) > MOST_SHARES:
        ordered = sorted(shares, key=lambda share: -share.sums.actions)
        others = ordered[MOST_SHARES:]
        sums = sum((share.sums for share in others), Sums())
        shares = [*ordered[:MOST_SHARES], Share(f"{len(others):,} others", field, "", sums)]
    return Breakdown(field.replace("_", " ").capitalize(), shares)
