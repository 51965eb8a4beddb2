"""Connections cut after the request, at every byte of the answer: one key for each byte."""

import asyncio
from collections.abc import Callable

import pytest

from tests.acceptance.support import PROCESSING, Ended, MassStop, Tenant, lies, outcomes
from tests.hunts.tampering import Request, TamperingProxy, forward

MakeTenant = Callable[..., Tenant]

LONGEST_ANSWER = 760
"""Bytes that the tenant's short answers do not exceed; where one is shorter, all of it comes before the cut."""


class CutAt:
    """Gives key number n the first n times ``step`` bytes of the first answer of its kind, and then nothing more.

    Keys it does not know are answered, and every other file, whose address names no key: a tenant without any answer
    is another case.
    """

    def __init__(self, kind: str, keys: list[str], *, step: int = 1, reset: bool = False) -> None:
        self.kind = kind
        self.reset = reset
        self.step = step
        self.number_of = {key: n for n, key in enumerate(keys)}
        self.files = 0
        self.cut = 0

    async def __call__(self, request: Request, answer: bytes, writer: asyncio.StreamWriter) -> bool:
        if request.kind != self.kind or request.nth > 1 or self._spares(request):
            return await forward(request, answer, writer)
        writer.write(answer[: self.number_of.get(request.key, self.cut) * self.step])
        self.cut += 1
        await writer.drain()
        if self.reset:
            writer.transport.abort()
        return False

    def _spares(self, request: Request) -> bool:
        if request.kind != "file":
            return request.key not in self.number_of
        self.files += 1
        return self.files % 2 == 0


def assert_counted(ended: Ended, tenant: Tenant) -> None:
    """No call arrived that is not in the report; one that met a connection just closed was made, and never arrived."""
    calls = ended.report["summary"]["calls"]
    assert all(calls[kind] >= tenant.sent(kind) for kind in ("stop", "status", "file", "token")), calls


def stop_all_cut(
    mass_stop: MassStop, make_tenant: MakeTenant, kind: str, cuts: int, *, step: int = 1, reset: bool = False
) -> None:
    # Ten minutes of work, of which none ends by itself however busy this machine is.
    work = {"latency": 0.0, "records": (500, 600), "speed": (0.5, 1.0)}
    tenant = make_tenant(**PROCESSING | work, actions=2 * cuts)
    cut = CutAt(kind, tenant.keys[::2], step=step, reset=reset)
    results = () if kind == "file" else ("--no-results",)
    with TamperingProxy(tenant, cut) as proxy:
        ended = mass_stop.run(
            tenant, mass_stop.keys(tenant.keys), *results, env=proxy.environment, longest=600
        )
    assert cut.cut >= cuts - 1
    assert lies(ended.report, tenant) == []
    assert outcomes(ended.report) == dict.fromkeys(tenant.keys, "stopped")
    assert ended.status == 0, ended
    assert_counted(ended, tenant)
    if kind == "file":
        assert {action["records"]["source"] for action in ended.report["actions"]} == {"response_file"}


@pytest.mark.parametrize("kind", ["stop", "status", "file"])
def test_the_status_decides_after_an_answer_cut_at_some_bytes(
    mass_stop: MassStop, make_tenant: MakeTenant, kind: str
) -> None:
    """The everyday form: some of the bytes, in one short run."""
    stop_all_cut(mass_stop, make_tenant, kind, 40, step=LONGEST_ANSWER // 40)


@pytest.mark.hunt
@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("kind", ["stop", "status"])
def test_the_status_decides_after_an_answer_cut_at_any_byte(
    mass_stop: MassStop, make_tenant: MakeTenant, kind: str, reset: bool
) -> None:
    stop_all_cut(mass_stop, make_tenant, kind, LONGEST_ANSWER, reset=reset)


@pytest.mark.hunt
def test_a_response_file_cut_at_any_byte_is_downloaded_again(
    mass_stop: MassStop, make_tenant: MakeTenant
) -> None:
    stop_all_cut(mass_stop, make_tenant, "file", 2_000)
