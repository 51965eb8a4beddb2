"""Print figures, one plain line each, as soon as they are known."""

from collections.abc import Callable, Sequence
from statistics import median


class Table:
    """Prints lines of ``measure | figure | wanted``. The figure is the median (least - most)."""

    COLUMNS = f"{'':44} {'median':>9}  {'least - most':>17}  {'wanted':<12}"

    def head(self, title: str) -> None:
        print(f"\n{title}\n{self.COLUMNS.rstrip()}\n{'-' * len(self.COLUMNS)}")

    def row(
        self,
        name: str,
        values: Sequence[float],
        unit: str = "",
        digits: int = 2,
        wanted: str = "",
        middle: Callable[[Sequence[float]], float] = median,
    ) -> None:
        """Print one line for ``values``, one from each round: their ``middle``, and the range."""
        spread = f"{min(values):.{digits}f} - {max(values):.{digits}f}" if len(values) > 1 else ""
        line = f"{name:44} {middle(values):9.{digits}f}  {spread:>17}  {wanted:<12}"
        print(f"{line.rstrip()}  [{unit}]" if unit else line.rstrip(), flush=True)

    def ratio(self, name: str, ours: Sequence[float], theirs: Sequence[float], wanted: str = "") -> None:
        """Print the ratios of ours to theirs in each round, because a slow round slows both."""
        self.row(name, [one / other for one, other in zip(ours, theirs, strict=True)], "x", wanted=wanted)

    def remark(self, text: str) -> None:
        print(f"  {text}", flush=True)
