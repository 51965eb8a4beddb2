"""The timeline as shapes: paths in a square of 1000 by 100 that the page stretches, and labels that it does not.

They are drawn here and not by a library. The libraries that fit use style and script elements, which the page's
content security policy forbids, and scale their lettering with the picture.
"""

from collections.abc import Sequence
from itertools import accumulate
from math import ceil, floor, log10

from msgspec import Struct

from orchestrator.durations import show_duration
from orchestrator.report.pages.timeline import Pace, Timeline

WIDE, HIGH = 1000, 100

_STEPS = (
    0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1_200, 1_800, 3_600, 7_200, 14_400,
)  # fmt: skip
"""Seconds between two labels of the axis."""


class Shape(Struct, frozen=True):
    """One series: ``css_class`` is its class in the style sheet, ``path`` the ``d`` of an SVG path."""

    name: str
    css_class: str
    path: str


class Tick(Struct, frozen=True):
    """A label at ``percent`` of an axis."""

    percent: float
    text: str


class Panel(Struct, frozen=True):
    """One chart. ``description`` is its content in a sentence, for those who do not see it."""

    title: str
    description: str
    shapes: list[Shape]
    levels: list[Tick]


class Charts(Struct, frozen=True):
    """The panels, one below the other, on a common axis; ``breaks`` are where a session began after a pause."""

    panels: list[Panel]
    ticks: list[Tick]
    breaks: list[Tick]
    digest: list[tuple[str, list[str]]]
    """The same as a table of few rows: the stretch of time, and what happened in it, in the order of the series."""


def draw(timeline: Timeline, keys: int, *, planning: bool) -> Charts:
    """The charts of a run of ``keys`` keys."""
    panels = [_progress(timeline, keys, planning=planning)]
    if any(map(any, (timeline.failed, timeline.throttled, timeline.harmless))):
        panels.append(_setbacks(timeline))
    if timeline.pace:
        panels.append(_pace(timeline.pace, timeline.seconds))
    step = next((one for one in _STEPS if timeline.seconds / one <= 6), timeline.seconds / 6)
    marks = (
        [step * n for n in range(floor(timeline.seconds / step + 1e-9) + 1)] if timeline.seconds else [0.0]
    )
    return Charts(
        panels=panels,
        ticks=[Tick(_percent(mark, timeline.seconds), _moment(mark)) for mark in marks],
        breaks=[
            Tick(_percent(one.offset, timeline.seconds), f"resumed after {show_duration(round(one.pause))}")
            for one in timeline.sessions[1:]
        ],
        digest=_digest(timeline),
    )


def _progress(timeline: Timeline, keys: int, *, planning: bool) -> Panel:
    accepted, settled = list(accumulate(timeline.accepted)), list(accumulate(timeline.settled))
    top = max(keys, accepted[-1], settled[-1], 1)
    shapes = [Shape("keys done: their outcome is known", "settled", _area(settled, top))]
    if not planning:
        shapes.append(Shape("stops accepted", "accepted", _line(accepted, top)))
    done = "" if planning else f"{accepted[-1]:,} stops accepted. "
    description = (
        f"{done}The outcome of {settled[-1]:,} of {keys:,} keys was known after {_moment(timeline.seconds)}."
    )
    title = "Keys read" if planning else "Stops accepted, and keys done"
    return Panel(title, description, shapes, _levels(top))


def _setbacks(timeline: Timeline) -> Panel:
    """The three sorts of calls, one on top of the other."""
    failed = timeline.failed
    throttled = [sum(both) for both in zip(failed, timeline.throttled, strict=True)]
    harmless = [sum(both) for both in zip(throttled, timeline.harmless, strict=True)]
    top = max(harmless)
    description = (
        f"{sum(failed):,} calls failed. {sum(timeline.throttled):,} were throttled. "
        f"{sum(timeline.harmless):,} stops were refused because the action was over already."
    )
    shapes = [
        Shape("stop refused, action already over (normal)", "harmless", _bars(harmless, top)),
        Shape("throttled: the tenant's limits", "throttled", _bars(throttled, top)),
        Shape("failed", "calls-failed", _bars(failed, top)),
    ]
    return Panel(
        "Calls that did not succeed at once", description, [one for one in shapes if one.path], _levels(top)
    )


def _pace(pace: Sequence[Pace], seconds: float) -> Panel:
    top = max(1.0, *(max(one.slots, one.in_flight) for one in pace))
    slots = [(one.seconds, one.slots) for one in pace]
    in_flight = [(one.seconds, one.in_flight) for one in pace]
    others = [(one.seconds, min(one.others, top)) for one in pace if one.others is not None]
    least, most = min(one.slots for one in pace), max(one.slots for one in pace)
    shapes = [
        Shape("calls in flight", "under-way", _stairs(in_flight, seconds, top, closed=True)),
        Shape("calls allowed at once", "slots", _stairs(slots, seconds, top)),
    ]
    if others:
        shapes.append(Shape("calls of others (estimate)", "others", _stairs(others, seconds, top)))
    return Panel(
        "Calls at once",
        f"Between {least:.0f} and {most:.0f} calls were allowed at once.",
        shapes,
        _levels(top),
    )


def _line(values: Sequence[int], top: float) -> str:
    return f"M0 {HIGH}" + "".join(
        f"L{_x(n + 1, len(values))} {_y(value, top)}" for n, value in enumerate(values)
    )


def _area(values: Sequence[int], top: float) -> str:
    return f"{_line(values, top)}L{WIDE} {HIGH}Z"


def _bars(values: Sequence[int], top: float) -> str:
    return "".join(
        f"M{_x(n, len(values))} {HIGH}V{_y(value, top)}H{_x(n + 0.85, len(values))}V{HIGH}Z"
        for n, value in enumerate(values)
        if value
    )


def _stairs(
    points: Sequence[tuple[float, float]], seconds: float, top: float, *, closed: bool = False
) -> str:
    """Each point holds until the next; the first holds from the start."""
    (_, first), *rest = points
    line = f"{_y(first, top)}" + "".join(f"H{_x(at, seconds)}V{_y(value, top)}" for at, value in rest)
    return f"M0 {HIGH}V{line}H{WIDE}V{HIGH}Z" if closed else f"M0 {line}H{WIDE}"


def _levels(top: float) -> list[Tick]:
    """Two or three round numbers to read heights by."""
    step = 10 ** floor(log10(top)) if top >= 1 else 1
    step = next(one for one in (step, step * 2, step * 5, step * 10) if top / one <= 4)
    step = max(1, ceil(step))
    return [
        Tick(round(100 - 100 * level / top, 2), f"{level:,}") for level in range(step, int(top) + 1, step)
    ]


def _digest(timeline: Timeline, rows: int = 24) -> list[tuple[str, list[str]]]:
    series = (timeline.accepted, timeline.settled, timeline.failed, timeline.throttled, timeline.harmless)
    each = max(1, ceil(timeline.stretches / rows))
    lines = []
    for start in range(0, timeline.stretches, each):
        end = min((start + each) * timeline.width, timeline.seconds)
        numbers = [f"{sum(one[start : start + each]):,}" for one in series]
        lines.append((f"{_moment(start * timeline.width)} to {_moment(end)}", numbers))
    return lines


def _moment(seconds: float) -> str:
    return f"{seconds:.2g}s" if seconds < 1 else show_duration(round(seconds, 2))


def _percent(value: float, whole: float) -> float:
    return round(100 * value / whole, 2) if whole else 0.0


def _x(value: float, whole: float) -> str:
    return f"{WIDE * value / whole if whole else 0:.1f}"


def _y(value: float, top: float) -> str:
    return f"{HIGH - HIGH * value / top:.1f}"
