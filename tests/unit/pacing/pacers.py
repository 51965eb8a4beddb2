"""Pacers of one tenant, and the calls that they allow at given times."""

from orchestrator.model import Answered, Limits, Window
from orchestrator.pacing.pacer import Pacer
from orchestrator.pacing.slots import TenantSlots
from orchestrator.settings import Rate

NOTHING = Limits()
MINUTE, HOUR, DAY = (Window(50_000, 60), Window(2_250_000, 3600), Window(27_000_000, 86_400))


def answer(
    limits: Limits = NOTHING,
    *,
    throttled: bool = False,
    retry_after: float | None = None,
    seconds: float = 0.1,
    by_api: bool = True,
) -> Answered:
    return Answered(limits, 429 if throttled else 200, throttled, retry_after, seconds=seconds, by_api=by_api)


def a_pacer(headroom: float = 0.0, rate: Rate | None = None, most: int | None = None) -> Pacer:
    return Pacer(TenantSlots(headroom, most), headroom, rate)


def let_through(pacer: Pacer, now: float, most: int = 100_000) -> int:
    """Return how many calls start at ``now`` if each ends at once."""
    for number in range(most):
        opens_at = pacer.opens_at(now)
        if opens_at is None or opens_at > now:
            return number
        pacer.release(pacer.take(now))
    return most


def sent_within(pacer: Pacer, seconds: float) -> list[float]:
    """Return the start times within ``seconds`` from 0 if a call is always ready and each ends at once."""
    now = 0.0
    times: list[float] = []
    while True:
        opens_at = pacer.opens_at(now)
        assert opens_at is not None
        now = max(now, opens_at)
        if now >= seconds:
            return times
        pacer.release(pacer.take(now))
        times.append(now)


def busiest(times: list[float], seconds: float) -> int:
    length = seconds * (1 - 1e-6)
    return max(sum(start <= time < start + length for time in times) for start in times)
