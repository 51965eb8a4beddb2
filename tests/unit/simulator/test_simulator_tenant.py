"""The answers and records of the simulated tenant, without a socket, on a clock that the test moves."""

import json
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from time import time
from typing import Any
from urllib.parse import urlencode

import pytest

from orchestrator.simulator import FaultPlan, TenantConfig
from orchestrator.simulator.answers import Answer, compressed
from orchestrator.simulator.tenant import Tenant


class _Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class _Caller:
    """Calls a tenant as a client would, one call after the other."""

    def __init__(self, **changes: Any) -> None:
        self.clock = _Clock()
        self.tenant = Tenant(TenantConfig(**changes), self.clock)
        self.tenant.base_url = "http://tenant"
        self.headers = {"Accept-Encoding": "gzip"}
        self.sign_in()

    def sign_in(self) -> dict[str, Any]:
        config = self.tenant.config
        answer = self.grant(
            client_id=config.client_id, client_secret=config.client_secret, grant_type="client_credentials"
        )
        granted: dict[str, Any] = json.loads(_body(answer))
        if answer.status == 200:
            self.headers["Authorization"] = f"Bearer {granted['access_token']}"
        return granted

    def grant(self, **form: str) -> Answer:
        call = self.tenant.receive("POST", "/oauth/token", {}, True)
        return self.tenant.grant(call, urlencode(form))

    def answer(self, method: str, path: str, **headers: str) -> Answer:
        sent = {**self.headers, **headers}
        call = self.tenant.receive(method, path, sent, False)
        refused = self.tenant.admit(call, sent)
        if refused is not None:
            refused.headers = self.tenant.headers(call, refused)
            return refused
        answer = self.tenant.act(call)
        self.tenant.limits.leave()
        answer.headers = self.tenant.headers(call, answer)
        return answer

    def json(self, method: str, path: str, **headers: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(_body(self.answer(method, path, **headers)))
        return found

    def status(self, key: str) -> dict[str, Any]:
        return self.json("GET", f"/v1/bulk/{key}")

    def stop(self, key: str) -> dict[str, Any]:
        return self.json("PUT", f"/v1/bulk/{key}/stop")


def _body(answer: Answer) -> bytes:
    return answer.body() if callable(answer.body) else answer.body


def _one(state: str, **changes: Any) -> tuple[_Caller, str]:
    caller = _Caller(actions=1, mix={state: 1.0}, records=(1000, 1000), speed=(5.0, 5.0), **changes)
    return caller, caller.tenant.actions.keys[0]


def test_a_stop_leads_through_stopping_to_stopped_with_a_file_on_this_server() -> None:
    caller, key = _one("Processing")
    assert caller.status(key)["status"] == "Processing"
    assert caller.status(key)["outputURL"] is None
    assert caller.stop(key) == {"success": True}
    assert caller.status(key)["status"] == "Stopping"
    caller.clock.now += 2
    status = caller.status(key)
    assert status["status"] == "Stopped"
    names = ("processedCount", "successCount", "errorCount", "totalCount")
    processed, succeeded, failed, total = (int(status[name]) for name in names)
    assert processed == succeeded + failed < total == 1000
    assert status["outputURL"].startswith("http://tenant/v1/files/")
    answer = caller.answer("GET", status["outputURL"].removeprefix("http://tenant"))
    assert answer.content_type == "application/zip;charset=UTF-8"
    assert _body(answer).startswith(b"PK")


def test_a_pending_action_has_no_counts_and_once_stopped_no_file() -> None:
    caller, key = _one("Pending")
    counts = ("totalCount", "processedCount", "errorCount", "successCount")
    assert [caller.status(key)[name] for name in counts] == [None] * 4
    caller.stop(key)
    caller.clock.now += 2
    status = caller.status(key)
    assert (status["status"], status["outputURL"]) == ("Stopped", None)


@pytest.mark.parametrize(("how", "success"), [("accept", True), ("refuse", False)])
def test_a_second_stop_is_accepted_or_refused_as_configured(how: str, success: bool) -> None:
    caller, key = _one("Processing", repeat_stop=how)
    caller.stop(key)
    answer = caller.stop(key)
    assert answer["success"] is success
    if not success:
        assert str(answer["reasons"][0]["code"])[-2:] == "30"
    assert len(caller.tenant.actions.peek(key).truth(caller.clock()).stops_received) == 2


def test_counts_are_numbers_or_strings() -> None:
    caller, key = _one("Processing")
    assert {type(caller.status(key)["totalCount"]) for _ in range(50)} == {int, str}


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("null", {"null"}),
        ("empty", {"empty"}),
        ("absent", {"absent"}),
        ("mixed", {"null", "empty", "absent"}),
    ],
)
def test_nothing_is_null_an_empty_text_or_no_field(how: str, expected: set[str]) -> None:
    caller, key = _one("Processing", nothing_as=how)
    names: dict[object, str] = {None: "null", "": "empty", ...: "absent"}
    answers = [caller.status(key) for _ in range(50)]
    for field in ("outputURL", "outputSize", "endedOn"):
        assert {names[answer.get(field, ...)] for answer in answers} == expected
    assert {answer["status"] for answer in answers} == {"Processing"}


def test_an_unknown_key_is_category_40_under_200_or_404() -> None:
    caller = _Caller()
    answers = [caller.answer("GET", f"/v1/bulk/{n:032x}") for n in range(50)]
    assert {answer.status for answer in answers} == {200, 404}
    for answer in answers:
        body = json.loads(_body(answer))
        assert body["success"] is False
        assert len(body["processId"]) == 16
        assert str(body["reasons"][0]["code"]).endswith("40")


def test_a_denied_key_is_category_10_and_is_not_stopped() -> None:
    caller, key = _one("Processing", denied=1.0)
    assert str(caller.stop(key)["reasons"][0]["code"]).endswith("10")
    assert caller.tenant.actions.peek(key).truth(caller.clock()).stop_effective_at is None


def test_a_file_that_does_not_exist_yet_is_not_found() -> None:
    caller, key = _one("Completed")
    url = caller.status(key)["outputURL"]
    other, _ = _one("Processing")
    body = other.json("GET", url.removeprefix("http://tenant"))
    assert str(body["reasons"][0]["code"]).endswith("40")


def test_a_token_lives_as_long_as_it_says() -> None:
    caller, key = _one("Processing", token_lifetime=60)
    assert caller.answer("GET", f"/v1/bulk/{key}").status == 200
    caller.clock.now += 60
    assert caller.answer("GET", f"/v1/bulk/{key}").status == 401
    assert caller.sign_in()["expires_in"] == 60
    assert caller.answer("GET", f"/v1/bulk/{key}").status == 200
    caller.tenant.revoke_tokens()
    assert caller.answer("GET", f"/v1/bulk/{key}").status == 401


def test_credentials_have_the_documented_lengths_and_wrong_ones_are_refused() -> None:
    caller = _Caller()
    assert (len(caller.tenant.config.client_id), len(caller.tenant.config.client_secret)) == (36, 42)
    assert caller.grant(client_id="x", client_secret="y", grant_type="client_credentials").status == 401
    assert caller.grant(client_id="x", client_secret="y", grant_type="password").status == 400


def test_the_token_endpoint_is_limited_to_a_hundred_calls_a_minute() -> None:
    caller = _Caller()
    answers = [caller.grant(grant_type="client_credentials").status for _ in range(100)]
    assert answers[-2:] == [401, 429]
    assert caller.tenant.limits.in_flight == 0


def test_a_full_window_is_answered_with_429_until_it_ends() -> None:
    caller, key = _one("Processing", quotas=((2, 60),))
    answers = [caller.answer("GET", f"/v1/bulk/{key}") for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert answers[-1].headers["Retry-After"] == "60"
    assert answers[-1].headers["RateLimit-Reset"] == "60"
    caller.clock.now += 60
    assert caller.answer("GET", f"/v1/bulk/{key}").status == 200


def test_a_throttled_stop_does_nothing() -> None:
    caller, key = _one("Processing", quotas=((1, 60),))
    caller.status(key)
    assert caller.answer("PUT", f"/v1/bulk/{key}/stop").status == 429
    truth = caller.tenant.actions.peek(key).truth(caller.clock())
    assert (truth.stop_effective_at, len(truth.stops_received)) == (None, 1)


def test_retry_after_has_every_documented_form() -> None:
    forms: dict[str, Callable[[str | None], bool]] = {
        "seconds": lambda text: text == "60",
        "fraction": lambda text: text == "60.0",
        "date": lambda text: text is not None and 55 < parsedate_to_datetime(text).timestamp() - time() < 65,
        "missing": lambda text: text is None,
    }
    for how, holds in forms.items():
        caller, key = _one("Processing", quotas=((1, 60),), retry_after=how)
        caller.status(key)
        assert holds(caller.answer("GET", f"/v1/bulk/{key}").headers.get("Retry-After")), how


def test_every_answer_carries_a_request_id_the_track_id_and_the_limits() -> None:
    caller, key = _one("Processing")
    headers = caller.answer("GET", f"/v1/bulk/{key}", **{"Zuora-Track-Id": "stop-1"}).headers
    assert len(headers["Zuora-Request-Id"]) == 36
    assert headers["Zuora-Track-Id"] == "stop-1"
    assert headers["RateLimit-Limit"] == "50000, 50000;w=60, 2250000;w=3600, 27000000;w=86400"
    assert headers["Concurrency-Limit-Limit"] == "40"


def test_half_of_the_tenants_spell_their_headers_in_lower_case() -> None:
    caller, key = _one("Processing", seed=2)
    headers = caller.answer("GET", f"/v1/bulk/{key}").headers
    assert {name.lower() for name in headers} == set(headers)


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ({"Idempotency-Key": "1"}, "Idempotency-Key"),
        ({"Accept-Encoding": "identity"}, "gzip"),
        ({"Zuora-Track-Id": "x" * 65}, "65 characters"),
        ({"Zuora-Track-Id": "a:b"}, "bad Zuora-Track-Id"),
        ({"Zuora-Track-Id": "ä"}, "bad Zuora-Track-Id"),
        ({"Zuora-Entity-Ids": "everything"}, "no UUID"),
    ],
)
def test_a_protocol_violation_is_recorded(headers: dict[str, str], text: str) -> None:
    caller, key = _one("Processing")
    caller.answer("GET", f"/v1/bulk/{key}", **headers)
    (problem,) = caller.tenant.ledger.problems
    assert text in problem


def test_a_repeated_track_id_is_recorded() -> None:
    caller, key = _one("Processing")
    for _ in range(2):
        caller.answer("GET", f"/v1/bulk/{key}", **{"Zuora-Track-Id": "again"})
    assert len(caller.tenant.ledger.problems) == 1


def test_wrong_headers_and_bodies_are_recorded() -> None:
    tenant = Tenant(TenantConfig(), _Clock())
    tenant.receive("PUT", f"/v1/bulk/{'a' * 32}/stop", {"Accept-Encoding": "gzip"}, True)
    tenant.receive("POST", "/oauth/token", {"Authorization": "Bearer x"}, True)
    assert [text.split(": ")[1] for text in tenant.ledger.problems] == [
        "no Authorization",
        "a request body",
        "Authorization sent to /oauth/token",
    ]


def test_a_correct_caller_causes_no_record() -> None:
    caller, key = _one("Processing")
    caller.status(key)
    caller.stop(key)
    assert caller.tenant.ledger.problems == []


def test_a_malformed_key_is_refused_and_recorded() -> None:
    caller = _Caller()
    assert caller.answer("GET", "/v1/bulk/short").status == 400
    assert "not a key" in caller.tenant.ledger.problems[0]


def test_another_method_is_category_45_and_another_path_is_not_found() -> None:
    tenant = Tenant(TenantConfig(), _Clock())
    assert tenant.other(tenant.receive("DELETE", "/v1/bulk/x", {}, False)).status == 405
    assert tenant.other(tenant.receive("GET", "/v1/accounts", {}, False)).status == 404
    assert tenant.ledger.calls == {"other": 2}


def test_a_lost_answer_leaves_the_action_stopped() -> None:
    caller, key = _one("Processing", faults=FaultPlan({"answer_lost": 1.0}))
    assert caller.answer("PUT", f"/v1/bulk/{key}/stop").delivery == "lost"
    assert caller.tenant.actions.peek(key).truth(caller.clock()).stop_effective_at == caller.clock.now


def test_a_lock_leaves_the_action_running() -> None:
    caller, key = _one("Processing", faults=FaultPlan({"lock": 1.0}, max_consecutive=1))
    assert str(caller.stop(key)["reasons"][0]["code"]).endswith("50")
    assert caller.tenant.actions.peek(key).truth(caller.clock()).stop_effective_at is None
    assert caller.stop(key) == {"success": True}


def test_a_long_answer_is_gzipped_for_those_who_offer_it() -> None:
    text = Answer(200, b"x" * 1001)
    assert compressed(text, "gzip, deflate").startswith(b"\x1f\x8b")
    assert text.headers == {"Content-Encoding": "gzip"}
    assert compressed(Answer(200, b"x" * 1000), "gzip") == b"x" * 1000
    assert compressed(Answer(200, b"x" * 1001), "") == b"x" * 1001
    assert compressed(Answer(200, b"x" * 1001, "application/zip;charset=UTF-8"), "gzip") == b"x" * 1001


def test_without_a_log_calls_are_still_counted() -> None:
    caller, key = _one("Processing", keep_log=False)
    for _ in range(2):
        caller.answer("GET", f"/v1/bulk/{key}", **{"Zuora-Track-Id": "again"})
    assert caller.tenant.ledger.log == []
    assert caller.tenant.ledger.calls == {"token": 1, "status": 2}
    assert caller.tenant.actions.peek(key).status_reads == 2


def _over(**changes: Any) -> tuple[_Caller, str]:
    """A caller of a tenant whose action is Completed, and the action's key."""
    caller = _Caller(mix={"Completed": 1}, actions=1, **changes)
    return caller, caller.tenant.actions.keys[0]


@pytest.mark.parametrize(
    ("form", "start"),
    [
        ("own", "http://tenant/v1/files/"),
        ("other", "https://rest.zuora.com/v1/files/"),
        ("relative", "/v1/files/"),
        ("old", "https://apisandbox-api.zuora.com/rest/v1/files/"),
    ],
)
def test_an_output_url_has_the_configured_form_and_the_same_file_id(form, start):
    caller, key = _over(file_address=form)
    url = caller.status(key)["outputURL"]
    assert url.startswith(start)
    assert caller.answer("GET", f"/v1/files/{url.removeprefix(start)}").status == 200


def test_mixed_output_urls_have_every_form():
    caller = _Caller(mix={"Completed": 1}, actions=60, file_address="mixed")
    urls = [caller.status(key)["outputURL"] for key in caller.tenant.actions.keys]
    assert len({url[: url.index("v1/files/")] for url in urls}) == 4


def test_a_late_output_url_is_named_some_time_after_the_end():
    caller = _Caller(mix={"Processing": 1}, actions=1, stopping_time=(1.0, 1.0), file_delay=(5.0, 5.0))
    key = caller.tenant.actions.keys[0]
    caller.answer("PUT", f"/v1/bulk/{key}/stop")
    caller.clock.now += 2.0
    soon = caller.status(key)
    caller.clock.now += 5.0
    assert (soon["status"], soon["outputURL"], bool(caller.status(key)["outputURL"])) == (
        "Stopped",
        None,
        True,
    )


def test_an_archived_file_is_refused_and_its_status_says_so():
    caller, key = _over(archived=1.0)
    path = caller.status(key)["outputURL"].removeprefix("http://tenant")
    assert json.loads(_body(caller.answer("GET", path)))["success"] is False
    assert json.loads(_body(caller.answer("GET", f"{path}/status"))) == {
        "success": True, "accessible": False, "status": "ARCHIVED",
    }  # fmt: skip


def test_the_status_of_a_file_that_can_be_read_says_accessible():
    caller, key = _over()
    path = caller.status(key)["outputURL"].removeprefix("http://tenant")
    assert json.loads(_body(caller.answer("GET", f"{path}/status")))["accessible"] is True
