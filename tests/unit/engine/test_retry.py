"""The decision after a failed call: the number of attempts and the waits."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.action import Attempts
from orchestrator.engine.retry import BASE, CAP, FEW, Retry, delay, is_final, tries
from orchestrator.errors import CallError, Kind

PATIENT, BRIEF, FOR_GOOD = 8, FEW, 1

TRIES_OF_EIGHT = {
    Kind.THROTTLED: PATIENT,
    Kind.LOCKED: PATIENT,
    Kind.TEMPORARY: PATIENT,
    Kind.SERVER: PATIENT,
    Kind.TIMEOUT: PATIENT,
    Kind.CONNECTION_LOST: PATIENT,
    Kind.CONNECT_FAILED: PATIENT,
    Kind.MALFORMED_ANSWER: PATIENT,
    Kind.INTERNAL: BRIEF,
    Kind.INTEGRATION: BRIEF,
    Kind.UNKNOWN: BRIEF,
    Kind.UNAUTHENTICATED: FOR_GOOD,
    Kind.NO_PERMISSION: FOR_GOOD,
    Kind.INVALID_REQUEST: FOR_GOOD,
    Kind.WRONG_STATE: FOR_GOOD,
    Kind.NOT_FOUND: FOR_GOOD,
    Kind.UNSUPPORTED: FOR_GOOD,
    Kind.REDIRECTED: PATIENT,
    Kind.GATEWAY: PATIENT,
    Kind.NO_RESPONSE_FILE: FOR_GOOD,
    Kind.ARCHIVED: FOR_GOOD,
    Kind.TOO_LARGE: FOR_GOOD,
    Kind.BAD_FILE: FOR_GOOD,
}
"""The tables of the API page, with the default of eight attempts. Refused credentials are a matter of time."""

COUNTED = sorted(set(Kind) - {Kind.UNAUTHENTICATED})


def longest(low: float, high: float) -> float:
    """A die that always falls high."""
    return high


def shortest(low: float, high: float) -> float:
    """A die that always falls low."""
    return low


def test_every_kind_of_failure_has_its_number_of_attempts():
    """A new kind without a number of attempts would have no retry."""
    assert set(TRIES_OF_EIGHT) == set(Kind)


@pytest.mark.parametrize("kind", list(Kind))
def test_a_failure_is_retried_as_often_as_its_kind_allows(kind):
    assert tries(kind, 8) == TRIES_OF_EIGHT[kind]


@pytest.mark.parametrize("kind", list(Kind))
@given(most=st.integers(1, 100))
def test_no_failure_is_retried_more_often_than_max_attempts(kind, most):
    assert 1 <= tries(kind, most) <= most


@pytest.mark.parametrize("kind", COUNTED)
def test_no_attempt_follows_the_last(kind):
    retry, attempts, made = Retry(8, longest), Attempts(), 1
    while failed(retry, kind, attempts=attempts) is not None:
        made += 1
    assert made == TRIES_OF_EIGHT[kind]


@pytest.mark.parametrize("kind", list(Kind))
def test_a_failure_with_more_than_two_attempts_is_not_permanent(kind):
    assert is_final(kind) == (TRIES_OF_EIGHT[kind] == FOR_GOOD)


@pytest.mark.parametrize("kind", COUNTED)
def test_with_one_attempt_nothing_is_retried(kind):
    assert failed(Retry(1, longest), kind, attempts=Attempts()) is None


@pytest.mark.parametrize(
    ("attempt", "most"), [(1, BASE), (2, 1.0), (3, 2.0), (4, 4.0), (6, 16.0), (7, CAP), (500, CAP)]
)
def test_the_longest_wait_doubles_up_to_its_cap(attempt, most):
    assert delay(attempt, longest) == most


def test_full_jitter_reaches_down_to_nothing():
    assert delay(5, shortest) == 0.0


@given(attempt=st.integers(1, 10_000), seed=st.integers())
def test_no_wait_is_longer_than_its_bounds(attempt, seed):
    assert delay(attempt, random.Random(seed).uniform) <= min(CAP, BASE * 2 ** min(attempt - 1, 40))


def failed(
    retry: Retry, kind: Kind, *, at: float = 0.0, in_outage: bool = False, attempts: Attempts
) -> float | None:
    return retry.wait(attempts, CallError(kind, "it failed"), at, in_outage=in_outage)


def test_a_retry_after_does_not_delay_a_single_key():
    """It closes the tenant's gate for all calls, which opens again when a later call is accepted."""
    error = CallError(Kind.THROTTLED, "wait", retry_after=300.0)
    assert Retry(8, longest).wait(Attempts(made=1), error, 0.0, in_outage=False) == BASE


def test_a_failure_during_an_outage_does_not_count():
    retry, attempts = Retry(2, longest), Attempts()
    for _ in range(100):
        assert failed(retry, Kind.CONNECT_FAILED, in_outage=True, attempts=attempts) is not None
    assert attempts.counted == 0


def test_attempts_before_an_outage_count_after_it():
    retry, attempts = Retry(2, longest), Attempts()
    assert failed(retry, Kind.TIMEOUT, attempts=attempts) is not None
    assert failed(retry, Kind.TIMEOUT, in_outage=True, attempts=attempts) is not None
    assert failed(retry, Kind.TIMEOUT, attempts=attempts) is None


def test_an_unauthenticated_call_is_repeated_for_a_minute():
    retry, attempts = Retry(2, longest), Attempts()
    for second in range(60):
        assert failed(retry, Kind.UNAUTHENTICATED, at=float(second), attempts=attempts) is not None
    assert failed(retry, Kind.UNAUTHENTICATED, at=60.0, attempts=attempts) is None


def test_another_failure_between_refusals_restarts_the_minute():
    retry, attempts = Retry(8, longest), Attempts()
    failed(retry, Kind.UNAUTHENTICATED, at=0.0, attempts=attempts)
    failed(retry, Kind.LOCKED, at=30.0, attempts=attempts)
    assert failed(retry, Kind.UNAUTHENTICATED, at=61.0, attempts=attempts) is not None
