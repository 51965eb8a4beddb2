"""The findings of check, and its advice."""

import time
from typing import Any

import pytest

from orchestrator.cli import check_results
from orchestrator.errors import CallError, Kind
from orchestrator.model import Answered, Grant, Limits, Window
from orchestrator.settings import Settings
from orchestrator.zuora.probe import Reached, Tls
from orchestrator.zuora.responses import entities_of

NOW = 1_700_000_000.0
DATE = "Tue, 14 Nov 2023 22:13:20 GMT"
ENTITY = "11e643f4-a3ee-8bad-b061-0025904c57d6"
SANDBOX = Limits(
    windows=(Window(2_500, 60), Window(5_000, 3_600), Window(10_000, 86_400)),
    nearest=2_500,
    remaining=2_000,
    reset=20.0,
    concurrency=40,
    concurrency_remaining=12,
)


def settings(**changes: Any) -> Settings:
    return Settings(base_url="https://rest.zuora.com", **changes)


def answered(date: str | None) -> Answered:
    return Answered(Limits(), 200, throttled=False, retry_after=None, seconds=0.1, date=date)


def refused(kind: Kind) -> CallError:
    return CallError(kind, "You may not.", code=53900010, http_status=200, request_id="r-1")


def a_certificate(days: float) -> Reached:
    return Reached("192.0.2.1", 0.02, Tls("TLSv1.3", "rest.zuora.com", "An Authority", NOW + days * 86_400))


def test_check_shows_a_certificate_with_its_end():
    _, tls = check_results.reachable(a_certificate(90), NOW)
    assert "TLSv1.3" in tls.text
    assert "2024-02-12" in tls.text
    assert tls.advice is None


def test_check_warns_of_a_certificate_that_ends_soon():
    _, tls = check_results.reachable(a_certificate(3), NOW)
    assert tls.advice is not None
    assert "3d00h" in tls.advice


def test_check_shows_a_token_with_its_lifetime_and_scope():
    good, scope = check_results.credentials(Grant(3_599, f"entity.{ENTITY} platform.write"), settings())
    assert "59m59s" in good.text
    assert (scope.advice, scope.bad) == (None, False)


def test_check_warns_of_a_token_without_write_access():
    _, scope = check_results.credentials(Grant(3_599, f"entity.{ENTITY} service.usage.read"), settings())
    assert scope.advice is not None
    assert "API Write Access" in scope.advice


@pytest.mark.parametrize(
    ("entity", "warned"), [(ENTITY, False), (ENTITY.replace("-", "").upper(), False), ("0" * 32, True)]
)
def test_check_warns_of_a_token_for_another_entity(entity: str, warned: bool):
    scope = f"entity.{ENTITY} platform.write"
    grant = Grant(3_599, scope, entities_of(scope))
    _, found = check_results.credentials(grant, settings(entity_id=entity))
    assert (found.advice is not None) is warned


def test_check_shows_no_scope_if_the_tenant_sends_none():
    assert len(list(check_results.credentials(Grant(3_599), settings()))) == 1


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Kind.NOT_FOUND, "was accepted"),
        (Kind.NO_PERMISSION, "was accepted"),
        (Kind.GATEWAY, "whether the tenant accepts it is not known"),
        (Kind.UNAUTHENTICATED, "NO: the tenant says: You may not."),
    ],
)
def test_a_bearer_token_counts_as_accepted_only_after_an_answer_that_needs_one(kind: Kind, words: str):
    [found] = check_results.credentials(None, settings(), refused(kind))
    assert words in found.text
    assert found.bad is (kind is Kind.UNAUTHENTICATED)


@pytest.mark.parametrize("kind", [Kind.NOT_FOUND, Kind.INVALID_REQUEST, Kind.WRONG_STATE])
def test_an_unknown_key_does_not_make_a_tenant_not_ready(kind: Kind):
    assert not check_results.permission(refused(kind), settings()).bad


def test_a_missing_permission_is_shown_with_the_words_of_the_tenant():
    found = check_results.permission(refused(Kind.NO_PERMISSION), settings())
    assert found.bad
    assert "You may not." in found.text
    assert "53900010" in found.text
    assert "r-1" in found.text
    assert found.advice is not None
    assert "read mass actions" in found.advice


def test_a_missing_permission_under_an_entity_names_the_entity():
    found = check_results.permission(refused(Kind.NO_PERMISSION), settings(entity_id=ENTITY))
    assert found.advice is not None
    assert "entity" in found.advice


@pytest.mark.parametrize("kind", [Kind.SERVER, Kind.MALFORMED_ANSWER, Kind.THROTTLED, Kind.REDIRECTED])
def test_a_failing_tenant_is_not_ready(kind: Kind):
    assert check_results.permission(refused(kind), settings()).bad


@pytest.mark.parametrize(
    ("skew", "said"), [(0, "correct"), (29, "correct"), (31, "31s ahead of"), (-90, "1m30s behind")]
)
def test_check_compares_the_clock_with_that_of_the_tenant(skew: float, said: str):
    found = check_results.clock(answered(DATE), NOW + skew)
    assert said in found.text
    assert (found.advice is None) is (said == "correct")


def test_a_date_with_an_unknown_zone_is_read_as_utc(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    found = check_results.clock(answered(DATE.replace("GMT", "-0000")), NOW)
    monkeypatch.undo()
    time.tzset()
    assert "correct" in found.text


@pytest.mark.parametrize("date", [None, "", "yesterday", "Tue, 14 Nov 99999999999 22:13:20 GMT"])
def test_a_tenant_without_a_date_header_causes_no_warning(date: str | None):
    assert check_results.clock(answered(date), NOW).text == "the tenant sends no time"


def test_check_shows_every_window_with_what_is_left():
    texts = [found.text for found in check_results.limits(SANDBOX, settings())]
    assert texts[0] == "40 calls at once, 12 free now; a run takes up to 36"
    assert texts[1] == "2,000 of 2,500 left this minute, resets in 20s"
    assert texts[2:] == ["4,000 or more of 5,000 left this hour", "8,000 or more of 10,000 left this day"]


def test_check_warns_of_a_nearly_used_window():
    limits = Limits(windows=(Window(2_500, 60),), nearest=2_500, remaining=100, reset=20.0)
    assert list(check_results.limits(limits, settings()))[1].advice is not None


def test_check_says_that_a_tenant_sends_no_limits():
    texts = [found.text for found in check_results.limits(Limits(), settings())]
    assert texts == ["unknown; 40 calls at once are assumed", "the tenant sends no limit"]


def test_the_forecast_says_for_how_many_keys_the_quota_is_enough():
    found = check_results.ahead(SANDBOX, 0.1, settings())
    assert (
        "what is left is enough for 583 keys" in found.text
    )  # 2,000 less 250 for others, 3 calls for each key
    assert found.advice is not None


def test_the_operators_own_limits_count_in_the_forecast():
    assert check_results.slots(SANDBOX, settings(concurrency=5)) == 5
    assert check_results.slots(SANDBOX, settings(headroom=50.0)) == 20
