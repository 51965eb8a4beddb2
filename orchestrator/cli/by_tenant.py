"""Progress of each of several tenants: as many as fit, those that need a person first."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from orchestrator.cli.page import counted, duration
from orchestrator.progress import Tally

LONGEST_NAME, SHORT_NAME = 16, 9
"""Columns that a tenant's name may take, the second on a narrow screen."""


def rows_of(
    tallies: Mapping[str, Tally], now: float, most: int, *, narrow: bool
) -> Iterator[tuple[str, str]]:
    """A head and a line for each tenant with its style, ``most`` in all; the last sums up what does not fit.

    ``now`` is in monotonic seconds. Nothing where the run is of one tenant, or where there is no room.
    """
    if len(tallies) < 2 or most < 3:
        return
    ordered = sorted(tallies, key=lambda name: _urgency(tallies[name], now))
    shown = ordered if len(ordered) < most else ordered[: most - 2]
    planning = any(tally.planning for tally in tallies.values())
    counts = [["read"] if planning else ["stops", "settled"], *(_counts(tallies[name]) for name in shown)]
    columns = list(zip(*counts, strict=True))[: 1 if narrow else None]
    names = [name[: SHORT_NAME if narrow else LONGEST_NAME] for name in ("tenant", *shown)]
    padded = [_aligned(names, str.ljust), *(_aligned(column, str.rjust) for column in columns)]
    states = [("bold", ""), *(_state(tallies[name], now, narrow=narrow) for name in shown)]
    for cells, (style, state) in zip(zip(*padded, strict=True), states, strict=True):
        yield style, "  ".join([*cells, state]).rstrip()
    if rest := ordered[len(shown) :]:
        at_work = sum(not _is_done(tallies[name]) for name in rest)
        yield "", f"and {counted(len(rest), 'more tenant')}, {at_work or 'none'} of them at work"


def _aligned(texts: Sequence[str], align: Callable[[str, int], str]) -> list[str]:
    width = max(map(len, texts))
    return [align(text, width) for text in texts]


def _counts(tally: Tally) -> list[str]:
    if tally.planning:
        return [f"{tally.over:,}/{tally.keys:,}"]
    return [f"{tally.through:,}/{tally.keys:,}", f"{tally.over:,}"]


def _state(tally: Tally, now: float, *, narrow: bool) -> tuple[str, str]:
    """Its style, and what is to be said of a tenant besides its counts."""
    if tally.given_up is not None:
        return "bold red", f"given up: {tally.given_up}"
    needing = tally.need_a_person
    parts = [f"{needing:,} {'needs' if needing == 1 else 'need'} a person"] if needing else []
    if _is_done(tally):
        parts = parts or ["done"]
    elif tally.closed_until > now:
        parts.append(f"waits {duration(tally.closed_until - now)}")
    elif not (narrow and parts):
        parts.append(f"{tally.in_flight}/{tally.slots} slots" if tally.slots else "asking the tenant")
    style = "bold red" if needing else "yellow" if tally.closed_until > now and not _is_done(tally) else ""
    return style, "  ".join(parts)


def _urgency(tally: Tally, now: float) -> tuple[bool, int, bool, bool, int]:
    """Sorts first what was given up, then what needs a person, what waits, what is at work; the most left first."""
    done = _is_done(tally)
    waits = tally.closed_until > now and not done
    return tally.given_up is None, -tally.need_a_person, not waits, done, tally.through - tally.keys


def _is_done(tally: Tally) -> bool:
    return tally.given_up is not None or (tally.read_to_end and tally.over == tally.keys)
