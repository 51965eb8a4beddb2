"""Read rate limits, waiting times and the request id from the headers of a response. Malformed values are ignored."""

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache

from multidict import MultiMapping

from orchestrator.model import Limits, Window
from orchestrator.zuora.redaction import Redact

LONGEST_WAIT = 86_400.0
LONGEST_TEXT = 1_000
LONGEST_ID = 100
_MOST_DIGITS = 12
_SECONDS = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")
_NO_DATE = (ValueError, TypeError, OverflowError)


def read_limits(headers: Mapping[str, str]) -> Limits:
    """Return the limits in ``headers`` (case-insensitive), in any known spelling (Zuora API, "Rate limits")."""
    get = headers.get
    limit = get("RateLimit-Limit") or get("Rate-Limit-Limit") or _with_x(headers, "Limit")
    nearest, windows = read_windows(limit) if limit else (None, ())
    remaining = get("RateLimit-Remaining") or get("Rate-Limit-Remaining") or _with_x(headers, "Remaining")
    reset = _number(get("RateLimit-Reset") or get("Rate-Limit-Reset") or _with_x(headers, "Reset"))
    return Limits(
        windows=windows,
        nearest=nearest,
        remaining=_number(remaining),
        reset=None if reset is None else min(float(reset), LONGEST_WAIT),
        # A limit of 0 is ignored: with it, this response could not have arrived.
        concurrency=_number(get("Concurrency-Limit-Limit")) or None,
        concurrency_remaining=_number(get("Concurrency-Limit-Remaining")),
    )


def _with_x(headers: Mapping[str, str], name: str) -> str | None:
    return headers.get(f"X-RateLimit-{name}") or headers.get(f"X-Rate-Limit-{name}")


def read_retry_after(headers: MultiMapping[str], wall: float) -> float | None:
    """Return the seconds to wait, from either form of ``Retry-After`` (RFC 9110, section 10.2.3), or None.

    Some gateways send fractions of seconds. The header may occur more than once, from a gateway and from the API behind
    it. The longest wait applies. A date is compared with the ``Date`` of the response, so that a clock error cancels
    out. Without ``Date``, it is compared with ``wall``, this machine's clock in seconds since the epoch.
    """
    waits = (_wait(text, headers, wall) for text in headers.getall("Retry-After", ()))
    return max((wait for wait in waits if wait is not None), default=None)


def read_request_id(headers: Mapping[str, str], redact: Redact) -> str | None:
    """Return ``Zuora-Request-Id``, or None if it has control or non-ASCII characters, or more than ``LONGEST_ID``.

    A documented id has 36 characters. Zuora's support cannot use another form. Bytes that are not UTF-8 become lone
    surrogates, which neither the journal nor JSON can store.
    """
    text = headers.get("Zuora-Request-Id", "").strip()
    fits = text.isascii() and text.isprintable() and 0 < len(text) <= LONGEST_ID
    return redact(text) if fits else None


@lru_cache(maxsize=64)
def read_windows(text: str) -> tuple[int | None, tuple[Window, ...]]:
    """Parse a limit header, for example ``2250000, 50000;w=60, 2250000;w=3600``.

    Return the quota of the window nearest to exhaustion, and every window with its length in seconds.
    """
    if len(text) > LONGEST_TEXT:
        return None, ()
    first, *rest = text.split(",")
    windows = []
    for item in (first, *rest):
        quota_text, *parameters = item.split(";")
        named = [parameter.partition("=") for parameter in parameters]
        lengths = [_number(value) for name, _, value in named if name.strip().lower() == "w"]
        quota = _number(quota_text)
        seconds = lengths[0] if len(lengths) == 1 else None  # two lengths contradict each other
        if quota and seconds:
            windows.append(Window(quota, seconds))
    return _number(first.partition(";")[0]), tuple(windows)


def _wait(text: str, headers: Mapping[str, str], wall: float) -> float | None:
    if _SECONDS.fullmatch(text.strip()):
        return min(float(text), LONGEST_WAIT)
    try:
        until = read_http_date(text)
    except _NO_DATE:
        return None
    try:
        now = read_http_date(headers["Date"])
    except (KeyError, *_NO_DATE):
        now = wall
    return min(max(until - now, 0.0), LONGEST_WAIT)


def read_http_date(text: str) -> float:
    """Return an HTTP date as seconds since the epoch. A date without a zone, or with ``-0000``, is in UTC.

    Raises ValueError, TypeError or OverflowError if the text is not a date (RFC 9110, section 5.6.7).
    """
    moment = parsedate_to_datetime(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


@lru_cache(maxsize=256)
def _number(text: str | None) -> int | None:
    """Parse at most 12 ASCII digits.

    ``int`` also accepts digits of other alphabets, signs, underscores and numbers of four hundred digits.
    """
    if text is None:
        return None
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS else None
