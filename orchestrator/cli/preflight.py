"""One tenant looked at by ``check``, step by step: name, connection, TLS, token, permission, clock, limits."""

from collections.abc import AsyncGenerator

from orchestrator.cli import check_results
from orchestrator.cli.check_results import Finding
from orchestrator.clock import Clock
from orchestrator.errors import CallError, TenantUnreachable
from orchestrator.model import Answered
from orchestrator.rundir import new_run_id
from orchestrator.settings import Settings
from orchestrator.zuora.client import ZuoraClient
from orchestrator.zuora.probe import reach
from orchestrator.zuora.tls import context_for

UNKNOWN_KEY = "0" * 32
"""A bulk key of no mass action. Reading its status tests the whole way to the tenant, without an action."""

LONGEST_CONNECT = 10.0


async def findings_of(settings: Settings, key: str | None = None) -> AsyncGenerator[Finding, None]:
    """Each finding as soon as it is known: where the tenant hangs, the screen shows at which step.

    With ``key``, the last one is about its action. Raises TenantError where no further step can be taken.
    """
    clock = Clock()
    answers: list[Answered] = []
    async with ZuoraClient(settings, clock, answers.append) as tenant:
        yield check_results.tenant(settings)
        for finding in check_results.proxy(tenant.route):
            yield finding
        longest = min(LONGEST_CONNECT, settings.timeout)
        trusted = context_for(settings.address, settings.ca_file)
        for finding in check_results.reachable(
            await reach(settings.address, longest, tenant.route, trusted), clock.wall()
        ):
            yield finding
        try:
            await tenant.authenticate()
        except CallError as failed:
            raise TenantUnreachable(failed.message) from failed
        error = await _read_unknown_key(tenant, settings)
        credentials = list(check_results.credentials(tenant.granted, settings, error))
        for finding in credentials:
            yield finding
        if not answers:
            raise TenantUnreachable(f"{settings.address} gave no answer: {error and error.message}")
        if not any(finding.bad for finding in credentials):
            yield check_results.permission(error, settings)
        action = None if key is None else await _read_action(tenant, settings, key)
    answer = answers[-1]
    yield check_results.clock(answer, clock.wall())
    for finding in check_results.limits(answer.limits, settings):
        yield finding
    yield check_results.ahead(answer.limits, answer.seconds, settings)
    if action is not None:
        yield action


async def _read_unknown_key(tenant: ZuoraClient, settings: Settings) -> CallError | None:
    try:
        await tenant.status(UNKNOWN_KEY, f"{settings.track_prefix}-check-{new_run_id()}")
    except CallError as error:
        return error
    return None


async def _read_action(tenant: ZuoraClient, settings: Settings, key: str) -> Finding:
    try:
        state = await tenant.status(key, f"{settings.track_prefix}-check-{new_run_id()}")
    except CallError as error:
        return check_results.unread_action(key, error)
    return check_results.action(key, state)
