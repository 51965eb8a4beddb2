"""The fate of the records, in all actions together: the first figures of the page."""

from msgspec import Struct

from orchestrator.report.pages.breakdowns import Cell, Sums, added
from orchestrator.report.wording import Group, group_of


class Fate(Struct, frozen=True):
    """The results of the records. A number is None if it is known of no action that it should count.

    ``before``, ``despite`` and ``so_far`` add up to the report's ``processed``; ``saved``, ``spared``, ``at_risk`` and
    ``held`` to its ``unprocessed``.
    """

    succeeded: int | None
    failed: int | None
    before: int | None
    """Went through before the stop: in actions that this run stopped, or that were over already."""
    despite: int | None
    """Went through in actions that ran to their end although the stop was accepted. Some did so before the stop."""
    so_far: int | None
    """Went through until now, in actions that are not known to be over."""
    saved: int | None
    """Not processed, in actions that this run stopped."""
    spared: int | None
    """Not processed, in actions that were over without this run."""
    at_risk: int | None
    """Not processed yet, in actions that are not known to be over."""
    held: int | None
    """Not processed, because a record of their group failed before."""
    uncounted: int
    """Actions whose records are not known."""

    @property
    def counted(self) -> int:
        """Records whose fate is known."""
        parts = (self.succeeded, self.failed, self.saved, self.spared, self.at_risk, self.held)
        return sum(part or 0 for part in parts)


def fate_of(cells: list[Cell]) -> Fate:
    """The fate of the records that ``cells`` count."""
    by_group = added(cells, lambda cell: group_of(cell.outcome))

    def of(*names: Group) -> Sums:
        return sum((by_group.get(name, Sums()) for name in names), Sums())

    every = of(*by_group)
    may_run = of("person", "planned")
    return Fate(
        succeeded=every.succeeded,
        failed=every.failed,
        before=of("stopped", "over").processed,
        despite=of("despite").processed,
        so_far=may_run.processed,
        saved=_left(of("stopped")),
        spared=_left(of("over", "despite")),
        at_risk=_left(may_run),
        held=every.held,
        uncounted=every.actions - every.known,
    )


def _left(sums: Sums) -> int | None:
    """The unprocessed records that are not behind a failed record."""
    return None if sums.unprocessed is None else sums.unprocessed - (sums.held or 0)
