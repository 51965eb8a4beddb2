"""The tenant's answers as they come over the wire, and what they mean."""

from typing import Annotated, Any

from msgspec import Meta, Struct, field

from orchestrator.errors import CallError, Kind
from orchestrator.model import ActionState, Records, Status

Count = int | str | None
"""The schema says string, the samples show integers, and before an action starts it is null."""


class Reason(Struct, frozen=True):
    """One of a failure's reasons; the last two digits of ``code`` are its category."""

    code: int | str | None = None
    message: str | None = None


class Answer(Struct, frozen=True, rename="camel"):
    """What every answer may carry. ``success`` false under HTTP 200 is a failure all the same."""

    success: bool | None = None
    process_id: str | None = None
    reasons: list[Reason] | None = None


class StatusAnswer(Answer, frozen=True, rename="camel"):
    """Zuora API, "Retrieve the status of a mass action"."""

    status: str | None = None
    action_type: str | None = None
    uploaded_by: str | None = None
    output_url: str | None = field(default=None, name="outputURL")
    total_count: Count = None
    processed_count: Count = None
    error_count: Count = None
    success_count: Count = None

    def state(self) -> ActionState:
        """The reading, or ValueError where it holds no status this product knows or no sound counts."""
        total, processed = _count(self.total_count), _count(self.processed_count)
        known = processed is not None or total is not None
        return ActionState(
            status=Status(self.status or ""),
            action_type=self.action_type,
            uploaded_by=self.uploaded_by,
            records=Records(
                total=total,
                processed=processed,
                succeeded=_count(self.success_count),
                failed=_count(self.error_count),
                unprocessed=None if total is None or processed is None else max(0, total - processed),
                source="status" if known else "none",
            ),
            output_url=self.output_url,
        )


class TokenAnswer(Struct, frozen=True):
    """Zuora API, "Create an OAuth token"; ``expires_in`` is in seconds."""

    access_token: Annotated[str, Meta(pattern=r"^[!-~]+\Z")]  # what a header can carry
    expires_in: float = 3599.0


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
"""The last two digits of a reason's code (Zuora API, "Error codes")."""

_HTTP = {
    400: Kind.INVALID_REQUEST,
    401: Kind.UNAUTHENTICATED,
    403: Kind.NO_PERMISSION,
    404: Kind.NOT_FOUND,
    405: Kind.UNSUPPORTED,
    408: Kind.SERVER,
    422: Kind.INVALID_REQUEST,
    429: Kind.THROTTLED,
}

# A server that failed in the middle may have failed after it did what was asked.
_MAY_HAVE_WORKED = frozenset(
    {Kind.INTERNAL, Kind.INTEGRATION, Kind.SERVER, Kind.MALFORMED_ANSWER, Kind.UNKNOWN}
)


def read_code(code: int | str | None) -> int | None:
    """A reason's code as a number; None where it is not made of ASCII digits."""
    text = str(code)
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 12 else None


def failure(
    http_status: int, answer: Answer | None, request_id: str | None, retry_after: float | None
) -> CallError:
    """The error that an answer stands for: by its reason's category where it gives one, else by its HTTP status."""
    reason = answer.reasons[0] if answer and answer.reasons else Reason()
    code = read_code(reason.code)
    by_status = _HTTP.get(http_status) or _by_class(http_status, answer is not None)
    if http_status in (401, 429):
        kind = _HTTP[http_status]
    elif code is not None:
        kind = _CATEGORIES.get(code % 100, by_status)
    else:
        kind = by_status
    return CallError(
        kind,
        _message(reason, kind, http_status),
        code=code,
        http_status=http_status,
        request_id=request_id,
        process_id=answer.process_id if answer else None,
        retry_after=retry_after,
        may_have_worked=kind in _MAY_HAVE_WORKED,
    )


def _message(reason: Reason, kind: Kind, http_status: int) -> str:
    if reason.message:
        return reason.message[:1000]
    if kind is Kind.MALFORMED_ANSWER:
        return (
            "The tenant's answer is not what the API documents (empty, cut short, HTML, or of a wrong type)."
        )
    if kind is Kind.REDIRECTED:
        return f"The tenant sends the call elsewhere (HTTP {http_status}), which is not followed: check its address."
    return f"The tenant answered HTTP {http_status} without a reason."


def _by_class(http_status: int, understood: bool) -> Kind:
    match http_status // 100:
        case 2:
            return Kind.UNKNOWN if understood else Kind.MALFORMED_ANSWER
        case 3:
            return Kind.REDIRECTED
        case 4:
            return Kind.INVALID_REQUEST
        case _:
            return Kind.SERVER


def _count(value: Any) -> int | None:
    if value is None or value == "":
        return None
    number = read_code(value)
    if number is None:
        raise ValueError(f"{value!r} is no count")
    return number
