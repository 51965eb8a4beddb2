"""The tenant's rate limits in words: what is left of each, and whether a run fits."""

from collections.abc import Mapping, Sequence

from orchestrator.cli.page import Page
from orchestrator.durations import duration
from orchestrator.engine import polling
from orchestrator.model import Limits
from orchestrator.pacing.forecast import (
    STOPPING_SECONDS,
    Calls,
    Forecast,
    Quota,
    forecast,
    polls_per_key,
    quotas,
)
from orchestrator.printable import counted
from orchestrator.settings import Settings

SHOWN = 10
"""Short quotas of several tenants that are shown one by one."""

ASSUMED = f"if an action stops within {duration(STOPPING_SECONDS)}"

MEAN_JITTER = 0.9
"""The mean factor of a poll interval (see :func:`orchestrator.engine.polling.interval`)."""

_NAMES = {60: "minute", 3_600: "hour", 86_400: "day"}


def status_calls(stopped: int, stops: int, slots: int, call_seconds: float, *, guards: bool) -> int:
    """The status calls for ``stopped`` actions in a run of ``stops`` stops, with one more for each with ``guards``."""
    polls = polls_per_key(
        polling.FIRST_READ,
        polling.NARROWEST * MEAN_JITTER,
        polling.WIDEST,
        polling.WIDENING,
        round_trip=call_seconds,
        others=stops * call_seconds / slots,
    )
    return round(stopped * (polls + guards))


def forecast_of(
    settings: Settings,
    limits: Limits,
    *,
    stopped: int,
    over: int = 0,
    files: int,
    slots: int,
    call_seconds: float,
) -> Forecast:
    """The forecast of a run that stops ``stopped`` actions. ``over`` more cost a refused stop and a poll each."""
    guards = bool(settings.expect_action_type or settings.expect_uploaded_by)
    polls = status_calls(stopped, stopped + over, slots, call_seconds, guards=guards)
    return forecast(
        Calls(stop=stopped + over, status=polls + over, file=0 if settings.no_results else files),
        quotas(limits),
        slots=slots,
        call_seconds=call_seconds,
        headroom=settings.headroom / 100,
        rate=settings.rate,
    )


def in_words(quota: Quota) -> str:
    """``399 of 2,500 left this minute, resets in 20s``."""
    name = _NAMES.get(quota.seconds, duration(quota.seconds))
    if not quota.reported:
        return f"{quota.left:,} or more of {quota.calls:,} left this {name}"
    return f"{quota.left:,} of {quota.calls:,} left this {name}, resets in {duration(quota.resets_in)}"


def _short(quota: Quota) -> str:
    enough = "NOT enough: the run waits for the reset" if quota.reported else "may not be enough"
    return f"{in_words(quota)}; {enough}"


def add_short_quotas(page: Page, short: Mapping[str, Sequence[Quota]]) -> None:
    """For several tenants: those with a window that is too small for the run."""
    reported = [f"{name}: {_short(quota)}" for name, quotas_of_it in short.items() for quota in quotas_of_it]
    if not reported:
        page.entry("quota", "enough in every tenant, as far as they report it")
    page.entries("quota", reported[:SHOWN], "red")
    if len(reported) > SHOWN:
        page.entry("", f"and {len(reported) - SHOWN} more that may not be enough", "red")


def add_quotas(page: Page, limits: Limits, ahead: Forecast) -> None:
    """The calls left in each window, and the windows that are too small for the run."""
    windows = quotas(limits)
    if not windows:
        page.entry("quota", "the tenant reports none")
    for number, quota in enumerate(windows):
        title = "" if number else "quota"
        if quota in ahead.short:
            page.entry(title, _short(quota), "red")
        else:
            page.entry(title, in_words(quota))
    if ahead.short:
        page.entry(
            "",
            f"Stops go first: {counted(ahead.calls.stop, 'call')}. --no-results saves "
            f"{counted(ahead.calls.file, 'call')}.",
        )
