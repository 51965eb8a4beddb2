"""The steps of a task of any scheduler: stop a list, and report how it ended. Needs only mass-stop.

Copy it beside the DAG or the flow that imports it.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing
from pathlib import Path

from orchestrator import ActionEntry, Outcome, Settings, stop_all, stop_each

OPEN = frozenset({Outcome.UNCONFIRMED, Outcome.UNREACHABLE, Outcome.NOT_ATTEMPTED})
"""Outcomes that another attempt may change; what else is not over needs a person."""


class NotOver(Exception):
    """The run ended, and some actions may still process records. Trying again may help."""


class NeedsAPerson(NotOver):
    """As above; trying again does not help."""


def keys_in(path: str) -> list[str]:
    """The bulk keys of a list with one key a line."""
    return Path(path).read_text("utf-8").split()


def stop_list(keys: Sequence[str], settings: Settings) -> dict[str, int]:
    """Stops every mass action of ``keys``; returns how many ended in which outcome.

    Raises:
        NeedsAPerson, NotOver: not every key is over; the message says how many, and where the report is.
        UsageError: nothing was sent.
    """
    report = asyncio.run(stop_all(keys, settings))
    outcomes = {outcome.value: count for outcome, count in report.summary.outcomes.items()}
    if report.run.exit_status == 0:
        return outcomes
    raise not_over(report.summary.outcomes, f"{report.run.reason or ''} See {report.run_dir}/report.json")


def not_over(outcomes: Iterable[Outcome], where: str) -> NotOver:
    """The error for a run that ended in ``outcomes``: the one after which another attempt is worth it, or the other."""
    left = sorted(outcome.value for outcome in outcomes if not outcome.is_over)
    error = NotOver if OPEN.intersection(left) else NeedsAPerson
    return error(f"Not all over: some are {', '.join(left)}. {where}")


async def stop_list_watched(
    keys: Sequence[str], settings: Settings, notify: Callable[[str], object]
) -> list[ActionEntry]:
    """As :func:`stop_list`, for an event loop; ``notify`` is called for each key that is not over.

    Returns:
        The actions that are not over, in the order in which they ended.
    """
    left = []
    async with aclosing(stop_each(keys, settings)) as actions:
        async for action in actions:
            if not action.outcome.is_over:
                left.append(action)
                notify(f"{action.bulk_key}: {action.outcome}. {action.error.message if action.error else ''}")
    return left
