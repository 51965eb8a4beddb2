"""The faults of a virtual tenant: kinds of outages, responses of a gateway, odd headers, unread output."""

import threading
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, TextIO, cast

from multidict import CIMultiDict

from orchestrator.background import BackgroundStream
from orchestrator.errors import Kind
from orchestrator.logs import Screen, Sink
from orchestrator.model import Limits
from orchestrator.zuora.headers import read_limits
from tests.simulation.tenant import Action, Fault, VirtualTenant, fault, lost


def page(http_status: int, *, works: bool = False) -> Fault:
    """Return the fault of a gateway that sends a page. ``works``: the tenant acted before it."""
    return fault(Kind.GATEWAY, http_status=http_status, works=works, may_have_worked=True)


def server_error(http_status: int) -> Fault:
    return fault(Kind.SERVER, http_status=http_status, may_have_worked=True)


DOWN: dict[str, Callable[[], Fault]] = {
    "refuse": lambda: fault(Kind.CONNECT_FAILED, seconds=0.001, wrong_address=True),
    "hang": lambda: lost(works=False),
    "hang after the stop took effect": lambda: lost(works=True),
    "reset": lambda: fault(Kind.CONNECTION_LOST, seconds=0.01, may_have_worked=True),
    "DNS": lambda: fault(Kind.CONNECT_FAILED, seconds=0.01, wrong_address=True),
    "500": lambda: server_error(500),
    "502": lambda: server_error(502),
    "503": lambda: server_error(503),
    "504": lambda: server_error(504),
    "HTML under 200": lambda: fault(Kind.MALFORMED_ANSWER, http_status=200, may_have_worked=True),
    "HTML under 403": lambda: page(403),
    "HTML under 404 after the stop took effect": lambda: page(404, works=True),
}
"""The ways in which a tenant may be down."""

ANSWERS = (302, 307, 400, 401, 403, 404, 405, 409, 418, 421, 423, 425, 451, 499, 500, 502, 503, 504)
"""HTTP statuses of responses that do not come from the API."""


def answer(http_status: int, *, works: bool = False) -> Fault:
    """Return a response that does not come from the API. ``works``: the tenant acted before it, except with a 401."""
    if http_status == 401:
        return fault(Kind.UNAUTHENTICATED, http_status=401)
    kind = (Kind.REDIRECTED, Kind.GATEWAY, Kind.SERVER)[http_status // 100 - 3]
    return fault(kind, http_status=http_status, works=works, may_have_worked=True)


ODD_HEADERS: tuple[Mapping[str, str], ...] = (
    {"RateLimit-Limit": "50000, 50000;w=60", "RateLimit-Remaining": "0", "RateLimit-Reset": "86400"},
    {"RateLimit-Limit": "50000, 50000;w=60", "RateLimit-Remaining": "0", "RateLimit-Reset": "0"},
    {"RateLimit-Limit": "0, 0;w=60", "RateLimit-Remaining": "0", "RateLimit-Reset": "60"},
    {"RateLimit-Limit": "1, 1;w=86400", "RateLimit-Remaining": "0", "RateLimit-Reset": "86400"},
    {"RateLimit-Limit": "1000000000, 1000000000;w=60", "RateLimit-Remaining": "1", "RateLimit-Reset": "9"},
    {"Concurrency-Limit-Limit": "0", "Concurrency-Limit-Remaining": "0"},
    {"Concurrency-Limit-Limit": "1", "Concurrency-Limit-Remaining": "0"},
    {"Concurrency-Limit-Limit": "40", "Concurrency-Limit-Remaining": "1000000000"},
    {"Concurrency-Limit-Limit": "1000000000", "Concurrency-Limit-Remaining": "0"},
)
"""Headers that contradict themselves or the tenant's behaviour."""

LIMIT = 100
"""The true concurrency limit of a tenant with headers."""


class TroubledTenant(VirtualTenant):
    """A tenant whose token endpoint may be down, and whose headers may be odd.

    Args:
        actions: the tenant's actions.
        no_token: returns the fault of a token request, or None.
        odd: returns the headers of a response, or None for the true ones. If it is None, the tenant sends none.
        given: further arguments of VirtualTenant.
    """

    def __init__(
        self,
        actions: list[Action],
        *,
        no_token: Callable[[], Fault | None],
        odd: Callable[[], Mapping[str, str] | None] | None,
        **given: Any,
    ) -> None:
        super().__init__(actions, **given)
        self._no_token = no_token
        self._odd = odd

    async def authenticate(self) -> None:
        await super().authenticate()
        if (befalls := self._no_token()) is not None:
            raise befalls.error

    def _limits(self) -> Limits:
        if self._odd is None:
            return Limits()
        return read_limits(CIMultiDict(self._odd() or self._true_headers()))

    def _true_headers(self) -> Mapping[str, str]:
        return {
            "RateLimit-Limit": "50000, 50000;w=60",
            "RateLimit-Remaining": "49000",
            "RateLimit-Reset": "30",
            "Concurrency-Limit-Limit": str(LIMIT),
            "Concurrency-Limit-Remaining": str(LIMIT - self.in_flight),
        }


class _Unread:
    """A stream whose writes never return, as on a terminal after Ctrl-S."""

    def write(self, text: str) -> int:
        threading.Event().wait()
        return len(text)


_unread: Any = BackgroundStream(cast(TextIO, _Unread()))  # one for all runs, because its thread never ends


def sink(random: Random) -> Sink:
    """Return the sink of a run's log: none, or a screen that accepts no output."""
    return Sink(None, random.choice([None, Screen(_unread, "debug", json=False)]))
