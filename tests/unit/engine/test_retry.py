"""What follows a failed call: how often it is tried, and after how long."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.engine.retry import BASE, CAP, FEW, LONGEST_WAIT, again, delay, is_final, tries
from orchestrator.errors import CallError, Kind

PATIENT, BRIEF, ONCE_MORE, FOR_GOOD = 8, FEW, 2, 1

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
    Kind.UNAUTHENTICATED: ONCE_MORE,
    Kind.NO_PERMISSION: FOR_GOOD,
    Kind.INVALID_REQUEST: FOR_GOOD,
    Kind.WRONG_STATE: FOR_GOOD,
    Kind.NOT_FOUND: FOR_GOOD,
    Kind.UNSUPPORTED: FOR_GOOD,
    Kind.REDIRECTED: FOR_GOOD,
    Kind.NO_RESPONSE_FILE: FOR_GOOD,
    Kind.ARCHIVED: FOR_GOOD,
    Kind.TOO_LARGE: FOR_GOOD,
    Kind.BAD_FILE: FOR_GOOD,
}
"""The tables of the API page, under the default of eight tries."""

attempts = st.integers(1, 10_000)
waits = st.none() | st.floats(0, 10 * LONGEST_WAIT)
seeds = st.integers()


def longest(low: float, high: float) -> float:
    """A die that always falls high."""
    return high


def shortest(low: float, high: float) -> float:
    """A die that always falls low."""
    return low


def test_every_kind_of_failure_has_its_number_of_tries():
    """A kind added without a thought for its tries would be given up at once."""
    assert set(TRIES_OF_EIGHT) == set(Kind)


@pytest.mark.parametrize("kind", list(Kind))
def test_a_failure_is_tried_as_often_as_its_kind_deserves(kind):
    assert tries(kind, 8) == TRIES_OF_EIGHT[kind]


@pytest.mark.parametrize("kind", list(Kind))
@given(most=st.integers(1, 100))
def test_no_failure_is_tried_more_often_than_allowed(kind, most):
    assert 1 <= tries(kind, most) <= most


@pytest.mark.parametrize("kind", list(Kind))
def test_the_last_try_is_followed_by_none(kind):
    error = CallError(kind, "it failed")
    made = 1
    while again(error, made, 8):
        made += 1
    assert made == TRIES_OF_EIGHT[kind]


@pytest.mark.parametrize("kind", list(Kind))
def test_what_is_worth_more_than_a_second_try_is_not_over_for_good(kind):
    assert is_final(kind) == (TRIES_OF_EIGHT[kind] in (ONCE_MORE, FOR_GOOD))


def test_with_one_try_nothing_is_tried_again():
    assert not any(again(CallError(kind, "it failed"), 1, 1) for kind in Kind)


@pytest.mark.parametrize(
    ("attempt", "most"), [(1, BASE), (2, 1.0), (3, 2.0), (4, 4.0), (6, 16.0), (7, CAP), (500, CAP)]
)
def test_the_longest_wait_doubles_up_to_its_cap(attempt, most):
    assert delay(attempt, None, longest) == most


def test_full_jitter_reaches_down_to_nothing():
    assert delay(5, None, shortest) == 0.0


def test_a_retry_after_is_waited_out_whatever_the_die_says():
    assert delay(1, 7.0, shortest) == 7.0


def test_a_backoff_longer_than_the_retry_after_stands():
    assert delay(7, 7.0, longest) == CAP


@given(attempt=attempts, retry_after=waits, seed=seeds)
def test_no_wait_is_shorter_than_the_retry_after_up_to_its_clamp(attempt, retry_after, seed):
    wait = delay(attempt, retry_after, random.Random(seed).uniform)
    assert wait >= min(retry_after or 0.0, LONGEST_WAIT)


@given(attempt=attempts, retry_after=waits, seed=seeds)
def test_no_wait_is_longer_than_its_bounds(attempt, retry_after, seed):
    wait = delay(attempt, retry_after, random.Random(seed).uniform)
    assert wait <= max(min(CAP, BASE * 2 ** min(attempt - 1, 40)), min(retry_after or 0.0, LONGEST_WAIT))


def test_an_absurd_retry_after_holds_a_call_back_no_longer_than_the_clamp():
    assert delay(1, 86_400.0, shortest) == LONGEST_WAIT
