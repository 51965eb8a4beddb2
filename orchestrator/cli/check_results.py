"""The findings of ``check``, each in a line or two, with advice if there is something to do. No I/O."""

from collections.abc import Iterator

from msgspec import Struct

from orchestrator.cli.quotas import ASSUMED, forecast_of, in_words
from orchestrator.clock import stamp
from orchestrator.durations import duration, duration_ms
from orchestrator.errors import CallError, Kind
from orchestrator.model import ActionState, Answered, Grant, Limits, plain_entity
from orchestrator.pacing.forecast import keys_within, quotas
from orchestrator.pacing.slots import USUAL_LIMIT
from orchestrator.printable import counted
from orchestrator.settings import Settings, kind_of_tenant
from orchestrator.settings.network import Route
from orchestrator.zuora.headers import read_http_date
from orchestrator.zuora.probe import Reached

SKEW = 30.0
"""Seconds by which the clocks may differ without advice."""

SOON = 14 * 86_400.0
"""Seconds before the end of a certificate in which there is advice to renew it."""

WRITE_SCOPE = "platform.write"

MANY = 1_000
"""Keys of the run that is forecast."""

MISSING = {
    "read": (
        "the user of this OAuth client may not read mass actions. Its role in Zuora Billing needs the mass action's "
        "own permission, and its Platform role must let it use the API"
    ),
    "entity": "this OAuth client is not good for the entity or organisation named",
}


_READ = (Kind.NOT_FOUND, Kind.INVALID_REQUEST, Kind.WRONG_STATE)
"""Responses to the read of an unknown key that only a user gets who may read mass actions."""


class Finding(Struct, frozen=True):
    """One line of the screen. ``bad`` ends the check in exit status ``status``; ``advice`` says what to do."""

    title: str
    text: str
    advice: str | None = None
    bad: bool = False
    status: int = 3


def tenant(settings: Settings) -> Finding:
    """Which tenant it is."""
    kind = kind_of_tenant(settings.address)
    production = "PRODUCTION, " if kind.production else ""
    return Finding("tenant", f"{settings.address} ({production}{kind.text})")


def proxy(route: Route) -> Iterator[Finding]:
    """The proxy in use, or why a configured one is not used; nothing if no proxy is configured."""
    if route.proxy is not None:
        credentials = ", with credentials" if route.proxy.credentials is not None else ""
        yield Finding("proxy", f"{route.proxy.url}{credentials} (from {route.proxy.origin})")
    elif route.unused:
        yield Finding("proxy", f"none: {route.unused}")


def reachable(reached: Reached, now: float) -> Iterator[Finding]:
    """Address and TLS; ``now`` in seconds since the epoch."""
    yield Finding("reachable", f"yes: {reached.address}, connected in {duration_ms(reached.seconds)}")
    if reached.tls is None:
        yield Finding("TLS", "none; not needed for an address on this machine")
        return
    tls, left = reached.tls, reached.tls.ends_at - now
    text = f"{tls.version}; the certificate of {tls.subject} by {tls.issuer} ends {stamp(tls.ends_at)[:10]}"
    advice = f"it ends in {duration(left)}: ask its owner to renew it" if left < SOON else None
    yield Finding("TLS", f"{text} (in {duration(left)})", advice)


def credentials(grant: Grant | None, settings: Settings, error: CallError | None = None) -> Iterator[Finding]:
    """The token: how long it is good for, and for what. ``error`` is the response to the first call with it."""
    if grant is None:
        yield _bearer_token(error)
        return
    yield Finding("credentials", f"good: a token was issued for {duration(grant.seconds)}")
    if grant.scope is None:
        return
    advice = None
    if settings.entity_id and grant.entities and plain_entity(settings.entity_id) not in grant.entities:
        advice = f"--entity-id {settings.entity_id} is none of the token's entities: calls will be refused"
    elif WRITE_SCOPE not in grant.scope.split():
        advice = (
            f"{WRITE_SCOPE} is not among it: stops may be refused. "
            "The user's Platform role needs the permission API Write Access"
        )
    yield Finding("scope", grant.scope, advice)


def _bearer_token(error: CallError | None) -> Finding:
    if error is not None and error.kind is Kind.UNAUTHENTICATED:
        advice = (
            "the token has expired, or is for another tenant or entity: get a new one, or use an OAuth client"
        )
        return Finding("credentials", f"NO: the tenant says: {_quoted(error)}", advice, bad=True)
    known = error is None or error.kind in (*_READ, Kind.NO_PERMISSION)
    text = "was accepted; its end" if known else "is there; whether the tenant accepts it"
    return Finding(
        "credentials", f"a bearer token {text} is not known", "an OAuth client renews its token by itself"
    )


def permission(error: CallError | None, settings: Settings) -> Finding:
    """Whether mass actions may be read: from the response to a read of a key that does not exist."""
    if error is None or error.kind in _READ:
        return Finding(
            "permission", "mass actions may be read; only the first stop shows whether they may be stopped"
        )
    reported = _quoted(error)
    if error.kind in (Kind.NO_PERMISSION, Kind.UNAUTHENTICATED):
        what = MISSING["entity"] if settings.entity_id or settings.org_ids else MISSING["read"]
        return Finding("permission", f"NO: the tenant says: {reported}", what, bad=True)
    if error.kind is Kind.REDIRECTED:
        return Finding("permission", reported, "is this the address of the REST API?", bad=True)
    return Finding(
        "answer",
        reported,
        "the tenant has a problem (see trust.zuora.com), or this is not Zuora: try again",
        bad=True,
    )


def action(key: str, state: ActionState) -> Finding:
    """The action of a key that this user can read."""
    records, origin = state.records, state.provenance
    parts = [
        f"{key}: {state.status}, {state.action_type or 'of unknown type'}",
        f"uploaded by {origin.uploaded_by or 'an unknown user'} on {origin.uploaded_on or 'an unknown day'}",
        f"{records.processed:,} of {counted(records.total, 'record')} processed"
        if records.processed is not None and records.total is not None
        else "its records are not counted yet",
    ]
    advice = "it is over: run would stop nothing" if state.status.terminal else None
    return Finding("action", "; ".join(parts), advice)


def unread_action(key: str, error: CallError) -> Finding:
    """The action of a key that could not be read."""
    if error.kind is Kind.NOT_FOUND:
        advice = (
            "the key belongs to another tenant or entity, it is mistyped, or this user may not see the action"
        )
    else:
        advice = "see the message above, then try again"
    return Finding("action", f"{key}: NOT read: {_quoted(error)}", advice, bad=True, status=1)


def clock(answer: Answered, now: float) -> Finding:
    """This machine's clock against the tenant's; ``now`` in seconds since the epoch."""
    try:
        skew = now - read_http_date(answer.date or "")
    except (ValueError, TypeError, OverflowError):
        return Finding("clock", "the tenant sends no time")
    if abs(skew) < SKEW:
        return Finding("clock", f"correct within {SKEW:.0f}s of the tenant's")
    how = "ahead of" if skew > 0 else "behind"
    advice = "set this machine's clock, or the times in the report will mislead"
    return Finding("clock", f"{duration(abs(skew))} {how} the tenant's", advice)


def limits(reported: Limits, settings: Settings) -> Iterator[Finding]:
    """The calls that the tenant allows at once and in each window, and how many are left."""
    if reported.concurrency is None:
        text = f"unknown; {USUAL_LIMIT} calls at once are assumed"
    else:
        free = reported.concurrency_remaining
        left = "" if free is None else f", {free} free now"
        text = f"{reported.concurrency} calls at once{left}; a run takes up to {slots(reported, settings)}"
    yield Finding("concurrency", text)
    windows = quotas(reported)
    if not windows:
        yield Finding("rate", "the tenant sends no limit")
    for number, quota in enumerate(windows):
        short = quota.reported and quota.left < quota.calls * settings.headroom / 100
        advice = "almost nothing is left: a run would wait for the reset" if short else None
        yield Finding("" if number else "rate", in_words(quota), advice)


def ahead(reported: Limits, call_seconds: float, settings: Settings) -> Finding:
    """How far the quotas carry, and how long a run of many keys takes."""
    at_once = slots(reported, settings)
    expected = forecast_of(
        settings, reported, stopped=MANY, files=MANY, slots=at_once, call_seconds=call_seconds
    )
    calls = expected.calls
    text = (
        f"{MANY:,} keys need about {counted(calls.total, 'call')}, {ASSUMED}: about {duration(expected.last_stop)} to "
        f"the last stop, {duration(expected.completed)} until every key is completed"
    )
    keys = keys_within(quotas(reported), calls.total / MANY, settings.headroom / 100)
    if keys is None:
        return Finding("forecast", text)
    carry = f"what is left is enough for {counted(keys, 'key')}; "
    advice = "more keys wait for the reset of the limits" if keys < MANY else None
    return Finding("forecast", carry + text, advice)


def slots(reported: Limits, settings: Settings) -> int:
    """Calls that a run has in flight at most."""
    allowed = int((reported.concurrency or USUAL_LIMIT) * (1 - settings.headroom / 100))
    return max(1, min(allowed, settings.concurrency or allowed))


def _quoted(error: CallError) -> str:
    code = "" if error.code is None else f", code {error.code}"
    request = "" if error.request_id is None else f", request id {error.request_id}"
    http = "no answer" if error.http_status is None else f"HTTP {error.http_status}"
    return f"{error.message} ({http}{code}{request})"
