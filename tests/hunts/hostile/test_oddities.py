"""Unusual but valid answers, one key for each: they cost no attempt, and the report stays true.

The simulated tenant follows the documents. Another tenant once sent ``"outputURL": ""``, and the run never ended.
"""

import asyncio
from collections.abc import Callable
from email.utils import formatdate

import pytest

from tests.acceptance.support import PROCESSING, Ended, MassStop, Tenant, lies, outcomes
from tests.hunts.hostile.oddities import (
    CLOSING,
    FEW,
    FORMS,
    JSON_FORMS,
    SPELLINGS,
    STATUS_FIELDS,
    STOP_FIELDS,
    Change,
    fields,
    odd_fields,
    spelt,
    waits,
)
from tests.hunts.tampering import Request, TamperingProxy, forward

MakeTenant = Callable[..., Tenant]

QUIET = PROCESSING | {
    "latency": 0.0,
    "rate_headers": False,
    "concurrency_headers": False,
    "stopping_time": (0, 0),
}

SPELT = {name: spelt(spelling) for name, spelling in SPELLINGS.items()}


class Oddly:
    """Changes every answer of one kind, with another change for each key; with ``first`` only the first answer."""

    def __init__(self, kind: str, changes: dict[str, Change], first: bool = False) -> None:
        self.kind, self.changes, self.first = kind, changes, first

    async def __call__(self, request: Request, answer: bytes, writer: asyncio.StreamWriter) -> bool:
        change = self.changes.get(request.key)
        if change is None or request.kind != self.kind or (self.first and request.nth > 1):
            return await forward(request, answer, writer)
        await forward(request, change(answer), writer)
        return change not in CLOSING.values()


def run_with(
    mass_stop: MassStop,
    tenant: Tenant,
    kind: str,
    cases: dict[str, Change],
    *options: str,
    first: bool = False,
) -> tuple[Ended, dict[str, str]]:
    """A run in which each key's answers of ``kind`` come in one of ``cases``: how it ended, and each case's outcome."""
    named = dict(zip(tenant.keys, cases, strict=True))
    with TamperingProxy(
        tenant, Oddly(kind, dict(zip(tenant.keys, cases.values(), strict=True)), first)
    ) as proxy:
        ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys), *options, env=proxy.environment)
    assert lies(ended.report, tenant) == [], ended
    assert "Traceback" not in ended.err
    return ended, {named[key]: outcome for key, outcome in outcomes(ended.report).items()}


def but(outcome: str, of: dict[str, str]) -> dict[str, str]:
    return {case: other for case, other in of.items() if other != outcome}


def calls(ended: Ended, kind: str) -> int:
    count: int = ended.report["summary"]["calls"][kind]
    return count


@pytest.mark.parametrize(
    ("kind", "cases"),
    [
        ("status", odd_fields(set(STATUS_FIELDS) - {"outputURL"}, FEW) | SPELT),
        # With it, since the address of a response file is awaited for a minute.
        pytest.param("status", odd_fields(STATUS_FIELDS), marks=pytest.mark.hunt),
        ("status", JSON_FORMS),
        ("stop", odd_fields(STOP_FIELDS)),
        ("stop", JSON_FORMS),
        ("file", FORMS),
    ],
    ids=[
        "fields of a status",
        "all of a status",
        "forms of a status",
        "fields of a stop",
        "forms of a stop",
        "forms of a file",
    ],
)
def test_an_unusual_answer_is_understood_at_once(
    mass_stop: MassStop, make_tenant: MakeTenant, kind: str, cases: dict[str, Change]
) -> None:
    tenant = make_tenant(**QUIET, actions=len(cases))
    ended, outcome_of = run_with(mass_stop, tenant, kind, cases)
    assert but("stopped", outcome_of) == {}
    assert (ended.status, calls(ended, "retried"), calls(ended, "stop")) == (0, 0, len(cases)), ended


def test_a_status_without_success_is_a_status(mass_stop: MassStop, make_tenant: MakeTenant) -> None:
    cases = {"null": fields({"success": None}), "extra": fields({"Success": False, "status_": "Failed"})}
    ended, outcome_of = run_with(mass_stop, make_tenant(**QUIET, actions=len(cases)), "status", cases)
    assert (but("stopped", outcome_of), ended.status, calls(ended, "retried")) == ({}, 0, 0), ended


def test_an_unknown_status_ends_as_unconfirmed(mass_stop: MassStop, make_tenant: MakeTenant) -> None:
    """With any status: the stop was accepted, and the end of the action is not known."""
    odd = odd_fields(["status"]) | {
        name: change
        for name, change in odd_fields(["success"]).items()
        if not name.endswith(("true", "null", "absent"))
    }
    tenant = make_tenant(**QUIET, actions=len(odd))
    ended, outcome_of = run_with(
        mass_stop, tenant, "status", odd, "--max-attempts", "2", "--wait-for-tenant", "3s"
    )
    assert but("unconfirmed", outcome_of) == {}, ended
    assert ended.status in (1, 4), ended  # the attempts of all keys end, or the wait for the tenant ends


def test_the_status_decides_a_stop_without_a_clear_answer(
    mass_stop: MassStop, make_tenant: MakeTenant
) -> None:
    odd = {name: change for name, change in odd_fields(["success"]).items() if not name.endswith("true")}
    tenant = make_tenant(**QUIET, actions=len(odd))
    ended, outcome_of = run_with(mass_stop, tenant, "stop", odd, "--max-attempts", "2")
    assert (but("stopped", outcome_of), ended.status) == ({}, 0), ended


NO_WAIT = ("", " ", "-5", "soon", "0", "0.0", "0.1", "-0.5", "1e-1", "2,5", "Thu, 01 Jan 1970 00:00:00 GMT")


@pytest.mark.hunt
def test_a_malformed_wait_prevents_no_retry(mass_stop: MassStop, make_tenant: MakeTenant) -> None:
    answers = [waits(), *map(waits, NO_WAIT), waits("soon", "-5"), waits("0", "0.1")]
    cases = {str(n): _given(answer) for n, answer in enumerate(answers)}
    # The proxy refuses a stop that the tenant accepted. To the tenant, a second stop of the same action is the same.
    tenant = make_tenant(**QUIET, actions=len(cases), repeat_stop="accept")
    ended, outcome_of = run_with(mass_stop, tenant, "stop", cases, first=True)
    assert (but("stopped", outcome_of), ended.status) == ({}, 0), ended
    assert calls(ended, "throttled") == len(cases)


@pytest.mark.hunt
@pytest.mark.parametrize(
    "answer",
    [
        waits("86400"), waits("999999999999"), waits("1", "86400.5"), waits("Fri, 31 Dec 9999 23:59:59 GMT"),
        waits(formatdate(4e9, usegmt=True), date=formatdate(0, usegmt=True)),
    ],
)  # fmt: skip
def test_a_wait_longer_than_the_run_ends_with_the_run(
    mass_stop: MassStop, make_tenant: MakeTenant, answer: bytes
) -> None:
    tenant = make_tenant(**QUIET, actions=3)
    cases = dict.fromkeys("abc", _given(answer))
    ended, _ = run_with(mass_stop, tenant, "stop", cases, "--deadline", "3s")
    assert ended.status == 4, ended
    assert {action["stop"]["accepted_at"] for action in ended.report["actions"]} == {None}


def _given(answer: bytes) -> Change:
    return lambda _: answer


TOKEN = odd_fields(["expires_in", "scope", "token_type", "jti", "unheardOf"]) | JSON_FORMS


@pytest.mark.hunt
@pytest.mark.parametrize("case", TOKEN)
def test_an_unusual_token_is_a_token(mass_stop: MassStop, make_tenant: MakeTenant, case: str) -> None:
    tenant = make_tenant(**QUIET, actions=3)

    async def oddly(request: Request, answer: bytes, writer: asyncio.StreamWriter) -> bool:
        await forward(request, TOKEN[case](answer) if request.kind == "token" else answer, writer)
        return request.kind != "token" or TOKEN[case] not in CLOSING.values()

    with TamperingProxy(tenant, oddly) as proxy:
        ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys), env=proxy.environment)
    assert (ended.status, lies(ended.report, tenant)) == (0, []), ended
    assert outcomes(ended.report) == dict.fromkeys(tenant.keys, "stopped")
