"""Progress of each of several tenants: as many as fit, those that need a person first."""

from collections.abc import Iterator, Mapping

from orchestrator.durations import duration
from orchestrator.printable import counted
from orchestrator.progress import Progress

LONGEST_NAME, SHORT_NAME = 16, 9
"""Columns that a tenant's name may take, the second on a narrow screen."""


def rows_of(
    by_tenant: Mapping[str, Progress], now: float, most: int, *, narrow: bool
) -> Iterator[tuple[str, str]]:
    """A head and a line for each tenant with its style, ``most`` in all; the last sums up what does not fit.

    ``now`` is in monotonic seconds. Nothing where the run is of one tenant, or where there is no room.
    """
    if len(by_tenant) < 2 or most < 3:
        return
    ordered = sorted(by_tenant, key=lambda name: _urgency(by_tenant[name], now))
    shown = ordered if len(ordered) < most else ordered[: most - 2]
    stages = list(by_tenant[shown[0]].stages)[: 1 if narrow else None]
    rows = [("bold", "tenant", stages, "")]
    for name in shown:
        progress = by_tenant[name]
        style, state = _state(progress, now, narrow=narrow)
        short = name[: SHORT_NAME if narrow else LONGEST_NAME]
        rows.append((style, short, _counts(progress)[: len(stages)], state))
    name_width = max(len(name) for _, name, _, _ in rows)
    widths = [max(map(len, column)) for column in zip(*(counts for _, _, counts, _ in rows), strict=True)]
    for style, name, counts, state in rows:
        cells = [name.ljust(name_width), *map(str.rjust, counts, widths), state]
        yield style, "  ".join(cells).rstrip()
    if rest := ordered[len(shown) :]:
        at_work = sum(not _is_done(by_tenant[name]) for name in rest)
        yield "", f"and {counted(len(rest), 'more tenant')}, {at_work or 'none'} of them at work"


def _counts(progress: Progress) -> list[str]:
    (first, keys), *others = progress.stages.values()
    return [f"{first:,}/{keys:,}", *(f"{done:,}" for done, _ in others)]


def _state(progress: Progress, now: float, *, narrow: bool) -> tuple[str, str]:
    """The style of the line, and the state of the tenant in words."""
    if progress.given_up is not None:
        return "bold red", f"given up: {progress.given_up}"
    needing = progress.need_a_person
    parts = [f"{needing:,} {'needs' if needing == 1 else 'need'} a person"] if needing else []
    if _is_done(progress):
        parts = parts or ["done"]
    elif progress.outage is not None:
        parts.append(f"no answer for {duration(now - progress.outage.since)}")
    elif progress.closed_until > now:
        parts.append(f"waits {duration(progress.closed_until - now)}")
    elif not (narrow and parts):
        parts.append(slots_of(progress))
    style = "bold red" if needing else "yellow" if _waits(progress, now) else ""
    return style, "  ".join(parts)


def slots_of(progress: Progress) -> str:
    """The slots in use, or what comes before the first answer."""
    if progress.slots:
        return f"{progress.in_flight}/{progress.slots} slots"
    return "asking the tenant" if progress.in_flight else "starting"


def _waits(progress: Progress, now: float) -> bool:
    """Whether it waits for its tenant."""
    return (progress.closed_until > now or progress.outage is not None) and not _is_done(progress)


def _urgency(progress: Progress, now: float) -> tuple[bool, int, bool, bool, int]:
    """Sorts first what was given up, then what needs a person, what waits, what is at work; the most left first."""
    done = _is_done(progress)
    return (
        progress.given_up is None,
        -progress.need_a_person,
        not _waits(progress, now),
        done,
        progress.keys_answered - progress.keys,
    )


def _is_done(progress: Progress) -> bool:
    return progress.given_up is not None or (
        progress.read_to_end and progress.keys_completed == progress.keys
    )
