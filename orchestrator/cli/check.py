"""``mass-stop check``."""

import sys
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli import options

if TYPE_CHECKING:
    from orchestrator.model import Answered
    from orchestrator.settings import Settings

NOBODY = "0" * 32
"""A bulk key that no mass action has: reading its status shows all of the tenant but any action."""

SKEW = 30.0
"""Seconds by which clocks may differ before it is worth a word."""


@click.command("check")
@options.settings_options(*options.TENANT, "timeout", "headroom")
def command(**given: Any) -> int:
    """Checks credentials, reachability, clock and limits of the tenant. Stops nothing."""
    import anyio

    settings = options.read_settings(given)
    settings.address  # noqa: B018 - nothing to check without a tenant
    return anyio.run(_check, settings)


async def _check(settings: "Settings") -> int:
    from orchestrator.clock import Clock
    from orchestrator.errors import CallError, Kind, TenantUnreachable
    from orchestrator.zuora.client import ZuoraClient

    clock = Clock()
    answers: list[Answered] = []
    _tell("tenant", settings.address)
    async with ZuoraClient(settings, clock, answers.append) as tenant:
        await tenant.authenticate()
        _tell("credentials", "a token was issued" if settings.token is None else "a ready token")
        try:
            await tenant.status(NOBODY, f"{settings.track_prefix}-check")
        except CallError as error:
            if not answers:
                raise TenantUnreachable(f"{settings.address} gave no answer: {error.message}") from error
            if error.kind is Kind.UNAUTHENTICATED:
                await tenant.authenticate()  # raises where the token that was given is at fault
            if error.kind in (Kind.NO_PERMISSION, Kind.UNAUTHENTICATED):
                _tell("permission", f"NO: {error.message}")
                return 3
            if error.kind in (Kind.SERVER, Kind.MALFORMED_ANSWER, Kind.THROTTLED):
                _tell("answer", f"HTTP {error.http_status}: {error.message}")
                return 3
    for title, text in _findings(answers[-1], clock.wall(), settings.headroom):
        _tell(title, text)
    _tell("verdict", "ready")
    return 0


def _findings(answer: "Answered", now: float, headroom: float) -> list[tuple[str, str]]:
    limits = answer.limits
    found = [("reachable", f"yes, one call took {answer.seconds * 1000:.0f} ms")]
    try:
        skew = now - parsedate_to_datetime(answer.date or "").timestamp()
    except ValueError:
        found.append(("clock", "the tenant tells no time"))
    else:
        advice = "" if abs(skew) < SKEW else ": set this machine's clock, or times in the report will mislead"
        found.append(("clock", f"{skew:+.0f} s against the tenant{advice}"))
    if limits.concurrency is None:
        found.append(("concurrency", "not told; 40 is assumed"))
    else:
        slots = int(limits.concurrency * (1 - headroom / 100))
        left = "" if limits.concurrency_remaining is None else f", {limits.concurrency_remaining} free now"
        found.append(("concurrency", f"{limits.concurrency} calls at once{left}; a run takes up to {slots}"))
    found += [("rate", f"{window.quota} calls in {window.seconds} s") for window in limits.windows]
    if limits.remaining is not None:
        found.append(("left", f"{limits.remaining} calls in the window nearest to exhaustion"))
    return found


def _tell(title: str, text: str) -> None:
    sys.stderr.write(f"{title:<12} {text}\n")
