"""The tenant's responses: their JSON forms, their meaning, and the errors for failures."""

import html
import re
from codecs import BOM_UTF8
from typing import Annotated, Any, TypeVar

from msgspec import DecodeError, Meta, Struct, ValidationError, convert, field
from msgspec.json import Decoder, encode

from orchestrator.errors import CallError, Kind
from orchestrator.model import ActionState, Grant, Provenance, Records, Status, plain_entity
from orchestrator.zuora.redaction import Redact

LONGEST_ADDRESS = 4_096
"""Longest stored address of a response file in characters. An address of this length may be cut, and is not called."""

LONGEST_TEXT = 200
LONGEST_MESSAGE = 1_000
"""Longest stored text and message of the tenant in characters. The journal may store one for every call."""

LONGEST_PAGE = 16_384
"""Number of bytes of a gateway's page that are searched for its title."""

_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}")
_TITLE = re.compile(r"<title\b[^>]{0,200}>(.{0,300}?)</title", re.IGNORECASE | re.DOTALL)
_HEADING = re.compile(r"<h1\b[^>]{0,200}>(.{0,300}?)</h1", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^>]{0,1000}>")

USUAL_LIFETIME = 3_599.0
"""Lifetime of a token in seconds (Zuora API, "Create an OAuth token")."""


class Reason(Struct, frozen=True):
    """One reason of a failure. The last two digits of ``code`` are its category."""

    code: int | str | None = None
    message: str | None = None


class Answer(Struct, frozen=True, rename="camel"):
    """The fields that every response may have. ``success: false`` is a failure, also with HTTP 200.

    ``message``, ``error`` and ``error_description`` come from a gateway or from the token endpoint. In a success they
    are ignored, and may have any type.
    """

    success: bool | None = None
    process_id: Any = None
    reasons: Any = None
    message: Any = None
    error: Any = None
    error_description: Any = field(default=None, name="error_description")

    @property
    def by_api(self) -> bool:
        """Whether this success has the documented form. Other JSON with HTTP 200 comes from a gateway."""
        return self.success is not None

    @property
    def text(self) -> str | None:
        """The first reason as text, from any of the fields that may contain it."""
        try:
            first = self.reason().message
        except ValidationError:
            first = None
        texts = (first, self.message, self.error_description, self.error)
        return next((text for text in texts if isinstance(text, str) and text.strip()), None)

    def reason(self) -> Reason:
        """Return the first reason, or an empty one. Raises ValidationError if ``reasons`` has another form."""
        reasons = convert(self.reasons, list[Reason] | None)
        return reasons[0] if reasons else Reason()


class StatusAnswer(Answer, frozen=True, rename="camel"):
    """Zuora API, "Retrieve the status of a mass action".

    Only ``status`` is required. Other malformed fields are ignored, so that a wrong count cannot hide the end of an
    action. Counts are strings in the schema, integers in the samples, and null before an action starts.
    """

    status: str | None = None
    action_type: Any = None
    uploaded_by: Any = None
    uploaded_on: Any = None
    started_on: Any = None
    ended_on: Any = None
    output_url: Any = field(default=None, name="outputURL")
    total_count: Any = None
    processed_count: Any = None
    error_count: Any = None
    success_count: Any = None

    @property
    def by_api(self) -> bool:
        """Whether this success has the documented form. Other JSON with HTTP 200 comes from a gateway."""
        return self.success is not None or self.status is not None

    def state(self, redact: Redact) -> ActionState:
        """Return the state of the action. Raises ValueError if the status is unknown."""
        total, processed = read_code(self.total_count), read_code(self.processed_count)
        known = processed is not None or total is not None
        return ActionState(
            status=_status(self.status, redact),
            action_type=_text(self.action_type, LONGEST_TEXT, redact),
            provenance=Provenance(
                uploaded_by=_text(self.uploaded_by, LONGEST_TEXT, redact),
                uploaded_on=_time(self.uploaded_on, redact),
                started_on=_time(self.started_on, redact),
                ended_on=_time(self.ended_on, redact),
            ),
            records=Records(
                total=total,
                processed=processed,
                succeeded=read_code(self.success_count),
                failed=read_code(self.error_count),
                unprocessed=None if total is None or processed is None else max(0, total - processed),
                source="status" if known else "none",
            ),
            output_url=_address(self.output_url, redact),
        )


class FileStatusAnswer(Answer, frozen=True, rename="camel"):
    """Zuora API, "Retrieve file status". The only documented status is ``RESTORED``."""

    accessible: Any = None
    status: Any = None

    @property
    def by_api(self) -> bool:
        """Whether this success has the documented form. Other JSON with HTTP 200 comes from a gateway."""
        return self.success is not None or self.status is not None

    def archived(self, redact: Redact) -> str | None:
        """Return the status of a file that cannot be downloaded now, or None."""
        status = _text(self.status, LONGEST_TEXT, redact) or ""
        if self.accessible is True or not (
            self.accessible is False or status.casefold().startswith("archiv")
        ):
            return None
        return status or "not accessible"


class TokenAnswer(Struct, frozen=True):
    """Zuora API, "Create an OAuth token". Only ``access_token`` is required: a run works without the other fields."""

    access_token: Annotated[str, Meta(pattern=r"^[!-~]+\Z", max_length=8_000)]  # allowed in a header
    expires_in: Any = None
    scope: Any = None

    def grant(self, redact: Redact) -> Grant:
        """Return the token's details. The usual lifetime replaces an unusable one, because a 401 shows the expiry."""
        value = self.expires_in if type(self.expires_in) is float else read_code(self.expires_in)
        return Grant(
            float(value) if value and 0 < value < 10**12 else USUAL_LIFETIME,
            _text(self.scope, LONGEST_TEXT, redact),
            entities_of(self.scope) if isinstance(self.scope, str) else frozenset(),
        )


def entities_of(scope: str) -> frozenset[str]:
    """Return the entities in ``scope``: its parts of the form ``entity.ID``."""
    return frozenset(
        plain_entity(part[7:]) for part in scope.split() if part.startswith("entity.") and part[7:]
    )


_CATEGORIES = {
    10: Kind.NO_PERMISSION,
    11: Kind.UNAUTHENTICATED,
    **dict.fromkeys((*range(20, 28), 90), Kind.INVALID_REQUEST),
    30: Kind.WRONG_STATE,
    40: Kind.NOT_FOUND,
    45: Kind.UNSUPPORTED,
    50: Kind.LOCKED,
    60: Kind.INTERNAL,
    61: Kind.TEMPORARY,
    70: Kind.THROTTLED,
    99: Kind.INTEGRATION,
}
"""Error kinds by the last two digits of a reason's code (Zuora API, "Error codes")."""

_HTTP = {401: Kind.UNAUTHENTICATED, 408: Kind.SERVER, 429: Kind.THROTTLED}

_REFUSED = {403: Kind.NO_PERMISSION, 404: Kind.NOT_FOUND, 405: Kind.UNSUPPORTED}
"""HTTP statuses of refusals with a code of an unknown category."""

_OUTAGE = frozenset({502, 503, 504})
"""HTTP statuses with which a gateway reports that the API does not respond. The body does not matter."""

# A server that reports a failure may already have carried out the request.
_MAY_HAVE_WORKED = frozenset(
    {
        Kind.INTERNAL,
        Kind.INTEGRATION,
        Kind.SERVER,
        Kind.MALFORMED_ANSWER,
        Kind.UNKNOWN,
        Kind.GATEWAY,
        Kind.REDIRECTED,
    }
)


def read_code(code: object) -> int | None:
    """Return a reason's code or a count as a number, or None. Only ASCII digits are accepted."""
    if type(code) is int:
        return code if 0 <= code < 10**12 else None
    if isinstance(code, str) and code.isascii() and code.isdigit() and len(code) <= 12:
        return int(code)
    return None


def failure(
    http_status: int,
    answer: Answer | None,
    request_id: str | None,
    retry_after: float | None,
    redact: Redact,
    page: bytes = b"",
) -> CallError:
    """Return the error for a failed response, by the category of its code, otherwise by its HTTP status.

    Only a failure with a code comes from the API. A response without a code comes from a gateway, with any HTTP status.
    ``page`` is the body. Its text becomes the message if the response is not JSON (``answer`` is None).
    """
    try:
        reason = answer.reason() if answer else Reason()
    except ValidationError:
        answer, reason = None, Reason()
    code = read_code(reason.code)
    kind = _HTTP.get(http_status) or _by_class(http_status, answer is not None)
    if code is not None and http_status not in (401, 429):
        refused = _REFUSED.get(http_status, Kind.INVALID_REQUEST) if kind is Kind.GATEWAY else kind
        kind = _CATEGORIES.get(code % 100, refused)
    return CallError(
        kind,
        _message(answer, page, kind, http_status, redact),
        code=code,
        http_status=http_status,
        request_id=request_id,
        process_id=_text(answer.process_id, LONGEST_TEXT, redact) if answer else None,
        retry_after=retry_after,
        may_have_worked=kind in _MAY_HAVE_WORKED,
        by_api=reason.code not in (None, "") and http_status not in _OUTAGE,
    )


def _message(answer: Answer | None, page: bytes, kind: Kind, http_status: int, redact: Redact) -> str:
    if answer and answer.text:
        return redact(answer.text)[:LONGEST_MESSAGE]
    if kind is Kind.REDIRECTED:
        return f"The tenant sends the call elsewhere (HTTP {http_status}), which is not followed: check its address."
    if answer is None and (text := page_text(page)):
        return f"A gateway answered HTTP {http_status}: {shortened(redact(text))}"
    if kind is Kind.MALFORMED_ANSWER:
        return (
            "The tenant's answer is not what the API documents (empty, cut short, HTML, or of a wrong type)."
        )
    return f"The tenant answered HTTP {http_status} without a reason."


A = TypeVar("A")


def understood(body: bytes, decoder: Decoder[A]) -> A | None:
    """Decode ``body`` as JSON with ``decoder``. Return None if it does not have that form."""
    try:
        return decoder.decode(body.removeprefix(BOM_UTF8))  # RFC 8259 allows a reader to ignore the mark
    except (DecodeError, UnicodeDecodeError, RecursionError):
        return None


def page_text(page: bytes) -> str | None:
    """Return the message of a page that is not JSON, or None: the title or heading of HTML, or plain text."""
    text = page[:LONGEST_PAGE].decode("utf-8-sig", "replace").strip()
    if text.startswith("<"):
        found = (pattern.search(text) for pattern in (_TITLE, _HEADING))
        text = next((match[1] for match in found if match and match[1].strip()), "")
    elif text.startswith(("{", "[", '"')) or "\ufffd" in text:
        return None
    text = html.unescape(_TAG.sub(" ", text))
    return "".join(letter for letter in " ".join(text.split()) if letter.isprintable()) or None


def shortened(text: str) -> str:
    """Return ``text`` as the end of a sentence, with at most ``LONGEST_TEXT`` characters and an ellipsis."""
    text = " ".join(text.split())
    short = text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT].rstrip()}…"
    return short if short.endswith((".", "!", "?", "…")) else f"{short}."


def _by_class(http_status: int, understood: bool) -> Kind:
    match http_status // 100:
        case 2:
            return Kind.UNKNOWN if understood else Kind.MALFORMED_ANSWER
        case 3:
            return Kind.REDIRECTED
        case 4:
            return Kind.GATEWAY
        case _:
            return Kind.SERVER


_STATUSES = {status.value: status for status in Status}


def _status(value: str | None, redact: Redact) -> Status:
    text = value or ""
    status = _STATUSES.get(text) or _STATUSES.get(text.strip().capitalize())
    if status is None:
        raise ValueError(f"{redact(text)[:LONGEST_TEXT]!r} is no status of a mass action")
    return status


def _time(value: Any, redact: Redact) -> str | None:
    """Return a time in the tenant's own form. A time in the documented form needs no redaction."""
    if isinstance(value, str) and _TIME.fullmatch(value):
        return value
    return _text(value, LONGEST_TEXT, redact) or None


def _address(value: Any, redact: Redact) -> str | None:
    """Return the address of a response file, or None if there is none yet. A value of another type is shown as JSON."""
    if value is None:
        return None
    text = value if isinstance(value, str) else encode(value).decode()
    return redact(text)[:LONGEST_ADDRESS].strip() or None


def _text(value: Any, most: int, redact: Redact) -> str | None:
    return redact(value)[:most] if isinstance(value, str) else None
