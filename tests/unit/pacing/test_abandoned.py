"""How long a cancelled call is counted."""

from hypothesis import given
from hypothesis import strategies as some

from orchestrator.pacing.abandoned import LONGEST, AbandonedCalls


def abandoned(*lasted: float, most: int = 20, header: bool = True, now: float = 100.0) -> AbandonedCalls:
    calls = AbandonedCalls()
    for seconds in lasted:
        calls.add(now, seconds, most, header=header)
    return calls


def left(calls: AbandonedCalls, now: float) -> int:
    calls.expire(now)
    return len(calls.until)


def test_a_cancelled_call_is_counted_for_ten_seconds_at_most():
    calls = abandoned(0.5)
    assert [left(calls, 100.0 + LONGEST - 0.1), left(calls, 100.0 + LONGEST)] == [1, 0]


def test_without_a_header_a_call_is_counted_for_half_as_long_as_it_lasted():
    calls = abandoned(4.0, header=False)
    assert [left(calls, 101.9), left(calls, 102.0)] == [1, 0]


@given(some.lists(some.floats(0.0, 60.0), max_size=50), some.integers(0, 20), some.booleans())
def test_no_more_than_the_given_number_of_calls_is_counted(lasted, most, header):
    assert len(abandoned(*lasted, most=most, header=header).until) <= most


def seen(calls: AbandonedCalls, *headers: tuple[float, int, int]) -> int:
    for now, in_use, in_flight in headers:
        calls.seen(now, in_use, in_flight)
    return len(calls.until)


def test_a_header_that_counts_the_call_keeps_it():
    headers = [(100.0 + 0.5 * n, 40, 39) for n in range(8)]
    assert seen(abandoned(1.0), *headers) == 1


def test_a_header_that_counts_fewer_calls_than_are_ours_ends_it():
    headers = [(100.0 + 0.5 * n, 30, 30) for n in range(8)]
    assert seen(abandoned(*[1.0] * 10), *headers) == 3


def test_headers_that_repeat_one_count_end_the_same_calls_once():
    """Ten of 40 calls were cancelled, and the tenant counts 32. New calls take the place of those that ended."""
    calls = abandoned(*[1.0] * 10)
    assert seen(calls, *((100.0 + 0.25 * n, 40, 30) for n in range(8))) == 10
    for n in range(20):
        calls.seen(102.0 + 0.01 * n, 32, 40 - len(calls.until))
    assert len(calls.until) == 5


def test_a_few_calls_in_flight_end_nothing():
    headers = [(100.0 + 0.5 * n, 38, 39) for n in range(8)]
    assert seen(abandoned(1.0), *headers) == 1


def test_a_call_that_was_just_cancelled_is_counted_whatever_the_header_says():
    calls = AbandonedCalls()
    for n in range(8):
        calls.seen(98.0 + 0.25 * n, 30, 40)
    calls.add(100.0, 1.0, 20, header=True)
    assert [seen(calls, (100.0 + after, 30, 39)) for after in (0.0, 0.4, 0.6)] == [1, 1, 0]


def test_a_header_from_before_the_calls_ends_nothing():
    """A header may be a second old. It counted when no call was in flight yet."""
    calls = AbandonedCalls()
    calls.seen(99.9, 1, 1)
    calls.add(100.0, 0.1, 20, header=True)
    assert seen(calls, (100.1, 1, 39), (100.5, 1, 39)) == 1
