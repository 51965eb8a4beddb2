"""The tenant's answers, and their meanings."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import CallError, Kind
from orchestrator.model import ActionState, Grant, Provenance, Records, Status
from orchestrator.zuora.client import file_id
from orchestrator.zuora.redaction import Redact, Redaction
from orchestrator.zuora.responses import (
    LONGEST_ADDRESS,
    LONGEST_TEXT,
    Answer,
    Reason,
    StatusAnswer,
    TokenAnswer,
    failure,
    read_code,
)

AS_IT_IS: Redact = str
"""Hides nothing of a text."""

CATEGORIES = {
    10: Kind.NO_PERMISSION,
    11: Kind.UNAUTHENTICATED,
    20: Kind.INVALID_REQUEST,
    21: Kind.INVALID_REQUEST,
    22: Kind.INVALID_REQUEST,
    23: Kind.INVALID_REQUEST,
    24: Kind.INVALID_REQUEST,
    25: Kind.INVALID_REQUEST,
    26: Kind.INVALID_REQUEST,
    27: Kind.INVALID_REQUEST,
    30: Kind.WRONG_STATE,
    40: Kind.NOT_FOUND,
    45: Kind.UNSUPPORTED,
    50: Kind.LOCKED,
    60: Kind.INTERNAL,
    61: Kind.TEMPORARY,
    70: Kind.THROTTLED,
    90: Kind.INVALID_REQUEST,
    99: Kind.INTEGRATION,
}
"""Every documented category of a reason's code."""

BY_HTTP_STATUS = {
    **dict.fromkeys((400, 403, 404, 405, 409, 418, 421, 422, 423, 425, 451, 499), Kind.GATEWAY),
    401: Kind.UNAUTHENTICATED,
    408: Kind.SERVER,
    429: Kind.THROTTLED,
    500: Kind.SERVER,
    502: Kind.SERVER,
    503: Kind.SERVER,
    504: Kind.SERVER,
    301: Kind.REDIRECTED,
    302: Kind.REDIRECTED,
    307: Kind.REDIRECTED,
    308: Kind.REDIRECTED,
    304: Kind.REDIRECTED,
    200: Kind.MALFORMED_ANSWER,
    204: Kind.MALFORMED_ANSWER,
    999: Kind.SERVER,
}
"""For a body without a code."""


def refusal(code: int | str | None, message: str | None = "No.") -> Answer:
    return Answer(success=False, process_id="7F2E", reasons=[Reason(code, message)])


def status_answer(**fields: object) -> StatusAnswer:
    return msgspec.json.decode(
        msgspec.json.encode({"success": True, "status": "Processing", **fields}), type=StatusAnswer
    )


@pytest.mark.parametrize("category", CATEGORIES)
def test_the_last_two_digits_of_the_code_say_why(category):
    assert failure(200, refusal(53100300 + category), None, None, AS_IT_IS).kind is CATEGORIES[category]


@pytest.mark.parametrize("category", CATEGORIES)
def test_a_code_in_quotes_says_the_same(category):
    assert failure(200, refusal(str(53100300 + category)), None, None, AS_IT_IS).kind is CATEGORIES[category]


@pytest.mark.parametrize("category", CATEGORIES)
def test_the_code_says_more_than_a_500(category):
    assert failure(500, refusal(50000000 + category), None, None, AS_IT_IS).kind is CATEGORIES[category]


@pytest.mark.parametrize("http_status", BY_HTTP_STATUS)
def test_without_a_code_the_http_status_says_why(http_status):
    assert failure(http_status, None, None, None, AS_IT_IS).kind is BY_HTTP_STATUS[http_status]


@pytest.mark.parametrize("http_status", [401, 429])
def test_a_401_or_429_is_known_with_any_code(http_status):
    assert failure(http_status, refusal(53100340), None, None, AS_IT_IS).kind is BY_HTTP_STATUS[http_status]


@pytest.mark.parametrize(
    "code", [None, "", "x", "٣", "-53100350", -50, 53100300, "5310-350", "9" * 13, 10**30 + 50]
)
@pytest.mark.parametrize(("http_status", "kind"), [(200, Kind.UNKNOWN), (500, Kind.SERVER)])
def test_an_invalid_code_is_ignored(code, http_status, kind):
    assert failure(http_status, refusal(code), None, None, AS_IT_IS).kind is kind


@pytest.mark.parametrize("reasons", [None, []])
def test_a_failure_without_reasons_is_unknown(reasons):
    assert failure(200, Answer(success=False, reasons=reasons), None, None, AS_IT_IS).kind is Kind.UNKNOWN


@pytest.mark.parametrize(
    ("kind", "answer", "http_status"),
    [
        (Kind.INTERNAL, refusal(50000060), 200),
        (Kind.INTEGRATION, refusal(50000099), 200),
        (Kind.UNKNOWN, refusal(None), 200),
        (Kind.SERVER, None, 502),
        (Kind.MALFORMED_ANSWER, None, 200),
    ],
)
def test_a_call_that_failed_at_the_server_may_have_worked(kind, answer, http_status):
    error = failure(http_status, answer, None, None, AS_IT_IS)
    assert (error.kind, error.may_have_worked) == (kind, True)


@pytest.mark.parametrize("category", [10, 11, 20, 30, 40, 45, 50, 61, 70, 90])
def test_a_plain_refusal_had_no_effect(category):
    assert not failure(200, refusal(50000000 + category), None, None, AS_IT_IS).may_have_worked


@given(http_status=st.integers(100, 999), code=st.none() | st.integers() | st.text(max_size=20))
def test_every_refusal_is_a_known_error(http_status, code):
    error = failure(http_status, refusal(code), "request", 2.0, AS_IT_IS)
    assert error.kind in Kind
    assert error.message == "No."


def test_a_failure_contains_every_id_that_support_asks_for():
    error = failure(200, refusal("53100340", "No such bulk."), "request", 2.0, AS_IT_IS)
    assert (error.code, error.http_status, error.message) == (53100340, 200, "No such bulk.")
    assert (error.request_id, error.process_id, error.retry_after) == ("request", "7F2E", 2.0)


def test_a_message_in_the_form_of_a_gateway_is_shown():
    """At night "HTTP 403 without a reason" sends a person looking for what was there to read."""
    answer = msgspec.json.decode(b'{"message": "Your address is not on the list."}', type=Answer)
    error = failure(403, answer, None, None, AS_IT_IS)
    assert (error.kind, error.message) == (Kind.GATEWAY, "Your address is not on the list.")


def test_the_message_of_a_reason_comes_first():
    answer = Answer(
        success=False, reasons=[Reason(53100340, "No such bulk.")], message="Something went wrong."
    )
    assert failure(200, answer, None, None, AS_IT_IS).message == "No such bulk."


@pytest.mark.parametrize("message", [None, "", 7, ["No."], {"text": "No."}])
def test_a_message_of_another_type_is_ignored(message):
    error = failure(403, Answer(message=message), None, None, AS_IT_IS)
    assert error.message == "The tenant answered HTTP 403 without a reason."


def test_a_failure_without_a_message_gets_a_default_message():
    assert str(failure(503, None, None, None, AS_IT_IS)) == "The tenant answered HTTP 503 without a reason."


def test_a_message_is_redacted_before_it_is_cut():
    text = "x" * 988 + " Bearer s3cret-t0ken, and more"
    message = failure(200, refusal(53100310, text), None, None, Redaction()).message
    assert message == "x" * 988 + " Bearer …, a"


def test_a_message_of_a_megabyte_is_cut():
    assert len(failure(200, refusal(53100340, "x" * (1 << 20)), None, None, AS_IT_IS).message) == 1000


@pytest.mark.parametrize(
    ("code", "number"),
    [(53100320, 53100320), ("53100320", 53100320), ("05", 5), (0, 0), (-1, None), ("٣", None), (None, None)],
)
def test_a_code_is_made_of_ascii_digits(code, number):
    assert read_code(code) == number


@pytest.mark.parametrize("hundred", [100, "100"])
def test_counts_are_taken_as_numbers_and_as_strings(hundred):
    answer = status_answer(totalCount=hundred, processedCount="40", errorCount=4, successCount="36")
    assert answer.state(AS_IT_IS).records == Records(100, 40, 36, 4, 60, "status")


@pytest.mark.parametrize("nothing", [None, ""])
def test_missing_counts_are_unknown(nothing):
    answer = status_answer(
        status="Pending", totalCount=nothing, processedCount=nothing, errorCount=nothing, successCount=nothing
    )
    assert answer.state(AS_IT_IS) == ActionState(Status.PENDING, records=Records(source="none"))


def test_a_total_without_other_counts_is_kept():
    assert status_answer(totalCount=100).state(AS_IT_IS).records == Records(total=100, source="status")


def test_more_processed_than_total_records_leave_none_unprocessed():
    assert status_answer(totalCount=1, processedCount=2).state(AS_IT_IS).records.unprocessed == 0


@pytest.mark.parametrize("count", [-1, "-1", "many", "1.5", "٣", 10**13])
def test_an_invalid_count_is_ignored_and_the_status_is_read(count):
    state = status_answer(status="Stopped", totalCount=count).state(AS_IT_IS)
    assert (state.status, state.records.total, state.records.source) == (Status.STOPPED, None, "none")


@pytest.mark.parametrize("count", [1.5, True, [], {}, -1, 10**12, 10**30])
def test_a_count_of_a_wrong_type_is_ignored_and_the_status_is_read(count):
    state = status_answer(status="Stopped", totalCount=count, processedCount=3).state(AS_IT_IS)
    assert (state.status, state.records.total, state.records.processed) == (Status.STOPPED, None, 3)


@pytest.mark.parametrize("value", [7, True, [], {}, None])
@pytest.mark.parametrize("field", ["actionType", "uploadedBy"])
def test_a_text_of_a_wrong_type_is_ignored_and_the_status_is_read(field, value):
    state = status_answer(status="Stopped", **{field: value}).state(AS_IT_IS)
    assert (state.status, state.action_type, state.provenance.uploaded_by, state.output_url) == (
        Status.STOPPED, None, None, None,
    )  # fmt: skip


def test_texts_are_bounded():
    """A thousand keys are held at once: a megabyte in each answer would be a gigabyte."""
    state = status_answer(
        status="Stopped", actionType="a" * 10**5, uploadedBy="b" * 10**5, outputURL="c" * 10**5
    ).state(AS_IT_IS)
    lengths = [
        len(text or "") for text in (state.action_type, state.provenance.uploaded_by, state.output_url)
    ]
    assert lengths == [LONGEST_TEXT, LONGEST_TEXT, LONGEST_ADDRESS]


def test_a_status_of_absurd_length_is_quoted_in_part():
    with pytest.raises(ValueError, match="is no status") as caught:
        status_answer(status="Stopped" * 10**5).state(AS_IT_IS)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("status", list(Status))
def test_every_documented_status_is_known(status):
    assert status_answer(status=status.value).state(AS_IT_IS).status is status


@pytest.mark.parametrize("status", [None, "", "Stopped now", "Cancelled", "Halted"])
def test_any_other_status_is_refused(status):
    """An unknown word must count neither as an end nor as a running state."""
    with pytest.raises(ValueError, match="is no status"):
        status_answer(status=status).state(AS_IT_IS)


def test_the_documented_sample_is_read_completely():
    answer = status_answer(
        actionType="MPU",
        status="Stopped",
        uploadedBy="jane@example.com",
        uploadedOn="2026-11-23 10:00:00",
        startedOn="2026-11-23 10:00:05",
        endedOn="2026-11-23 10:05:00",
        inputSize=1024,
        outputSize=2048,
        outputType="(url:.csv.zip)",
        outputURL="https://rest.zuora.com/v1/files/abc",
        totalCount=10,
        processedCount=4,
        errorCount=1,
        successCount=3,
    )
    assert answer.state(AS_IT_IS) == ActionState(
        Status.STOPPED,
        "MPU",
        Provenance("jane@example.com", "2026-11-23 10:00:00", "2026-11-23 10:00:05", "2026-11-23 10:05:00"),
        Records(10, 4, 3, 1, 6, "status"),
        "https://rest.zuora.com/v1/files/abc",
    )


@pytest.mark.parametrize("token", ["", "two words", "line\nbreak", "token\n", "tök"])
def test_a_token_that_no_header_can_carry_is_refused(token):
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode({"access_token": token}), type=TokenAnswer)


def grant(**fields: object) -> Grant:
    return msgspec.json.decode(
        msgspec.json.encode({"access_token": "abc", **fields}), type=TokenAnswer
    ).grant(AS_IT_IS)


def test_a_token_without_a_lifetime_gets_the_usual_one():
    assert grant() == Grant(3599.0)


@pytest.mark.parametrize("lifetime", [60, 60.0, "60"])
def test_the_lifetime_of_a_token_is_taken_as_a_number_and_as_a_string(lifetime):
    assert grant(expires_in=lifetime).seconds == 60.0


@pytest.mark.parametrize("lifetime", [None, 0, "0", -5, 10**30, 1e300, "", "soon", "-5", "6e1", True, [], {}])
def test_a_malformed_lifetime_keeps_the_token_for_more_than_one_call(lifetime):
    assert grant(expires_in=lifetime).seconds == 3599.0


@pytest.mark.parametrize("scope", [None, 7, ["platform.write"], {}])
def test_a_scope_of_a_wrong_type_does_not_cost_the_token(scope):
    assert grant(scope=scope).scope is None


@pytest.mark.parametrize("value", [7, 0, True, False, [], {}, ["https://rest.zuora.com/v1/files/1"]])
def test_an_address_of_a_wrong_type_is_an_unusable_address_and_is_not_waited_for(value):
    address = status_answer(status="Stopped", outputURL=value).state(AS_IT_IS).output_url
    assert address is not None
    with pytest.raises(CallError, match="contains no file id") as caught:
        file_id(address)
    assert caught.value.kind is Kind.NO_RESPONSE_FILE


@pytest.mark.parametrize("address", [None, "", " ", "\n"])
def test_an_empty_address_is_no_address(address):
    """An empty one once made an endless loop of polls between the end of its action and the file."""
    assert status_answer(status="Stopped", outputURL=address).state(AS_IT_IS).output_url is None


@pytest.mark.parametrize("http_status", [code for code in BY_HTTP_STATUS if code not in (401, 429)])
def test_an_answer_without_a_code_does_not_come_from_the_api_and_may_have_worked(http_status):
    """A gateway may fail on the way back, after the tenant carried the stop out."""
    error = failure(http_status, None, None, None, AS_IT_IS)
    assert (error.by_api, error.may_have_worked) == (False, True)


@pytest.mark.parametrize("http_status", [200, 400, 401, 403, 404, 405, 422, 500])
def test_a_failure_with_a_code_comes_from_the_api(http_status):
    assert failure(http_status, refusal(53100340), None, None, AS_IT_IS).by_api


def test_a_file_error_with_a_code_in_words_comes_from_the_api_and_is_not_final():
    error = failure(404, refusal("SystemError"), None, None, AS_IT_IS)
    assert (error.by_api, error.kind) == (True, Kind.GATEWAY)


@pytest.mark.parametrize("http_status", [502, 503, 504])
def test_a_gateway_error_does_not_come_from_the_api_whatever_its_body(http_status):
    assert not failure(http_status, refusal(53100361), None, None, AS_IT_IS).by_api


@pytest.mark.parametrize(
    ("http_status", "kind"),
    [(403, Kind.NO_PERMISSION), (404, Kind.NOT_FOUND), (405, Kind.UNSUPPORTED), (400, Kind.INVALID_REQUEST)],
)
def test_a_code_of_an_unknown_category_is_final_by_its_http_status(http_status, kind):
    assert failure(http_status, refusal(53100399 - 4), None, None, AS_IT_IS).kind is kind


@pytest.mark.parametrize("code", [None, "", "x", "٣", "-53100350", -50, "5310-350", "9" * 13])
def test_a_404_with_an_absurd_code_is_not_final(code):
    assert failure(404, refusal(code), None, None, AS_IT_IS).kind is Kind.GATEWAY
