"""When a tenant without answers is in an outage, and when the next probe may start."""

import pytest

from orchestrator.pacing.circuit import FAILURES, FIRST_PROBE, PROBE_EVERY, Circuit


def highest(low: float, high: float) -> float:
    return high


def lowest(low: float, high: float) -> float:
    return low


def answered_before(uniform=highest) -> Circuit:
    circuit = Circuit(uniform)
    circuit.answered(0.0)
    return circuit


def in_outage(now: float = 100.0, uniform=highest) -> Circuit:
    circuit = answered_before(uniform)
    for _ in range(FAILURES):
        circuit.failed(now)
    return circuit


def test_a_few_failures_are_no_outage():
    circuit = answered_before()
    assert not any(circuit.failed(0.0) for _ in range(FAILURES - 1))
    assert not circuit.open


def test_a_number_of_failures_in_a_row_begins_an_outage():
    circuit = answered_before()
    assert [circuit.failed(0.0) for _ in range(FAILURES + 1)] == [*[False] * (FAILURES - 1), True, False]
    assert circuit.open


def test_before_the_first_answer_one_failure_begins_an_outage():
    """An operator sees at once that the address is wrong."""
    assert Circuit(highest).failed(0.0)


def test_hanging_calls_are_an_outage_since_the_last_call_that_did_not_hang():
    circuit = answered_before()
    assert circuit.failed(100.0, quiet_since=97.5)
    assert (circuit.open, circuit.since) == (True, 97.5)


def test_an_answer_between_failures_restarts_the_count():
    circuit = answered_before()
    for n in range(10 * FAILURES):
        circuit.failed(0.0)
        if n % (FAILURES - 1) == 0:
            circuit.answered(0.0)
    assert not circuit.open


def test_an_outage_began_with_the_first_of_its_failures():
    circuit = answered_before()
    for now in range(FAILURES):
        circuit.failed(10.0 * now)
    assert circuit.since == 0.0


@pytest.mark.parametrize(("uniform", "pause"), [(lowest, FIRST_PROBE[0]), (highest, FIRST_PROBE[1])])
def test_the_first_probe_starts_after_a_short_pause(uniform, pause):
    assert in_outage(100.0, uniform).next_probe_at == 100.0 + pause


@pytest.mark.parametrize(("uniform", "pause"), [(lowest, 1.0), (highest, 1.8)])
def test_probes_start_less_than_two_seconds_apart_during_the_whole_outage(uniform, pause):
    circuit = in_outage(100.0, uniform)
    for second in range(1000):
        circuit.take(float(second))
        assert circuit.next_probe_at == second + pause


def test_a_failed_probe_does_not_move_the_next_one():
    circuit = in_outage(100.0)
    circuit.take(101.0)
    circuit.failed(102.5)
    assert circuit.next_probe_at == 101.0 + PROBE_EVERY[1]


def test_an_answer_ends_an_outage_and_says_so():
    circuit = in_outage()
    assert circuit.answered(101.0)
    assert (circuit.open, circuit.since) == (False, None)


def test_an_answer_without_an_outage_ends_none():
    assert not Circuit(highest).answered(0.0)


def test_a_second_outage_is_noticed_like_the_first():
    circuit = in_outage(100.0)
    circuit.answered(150.0)
    for _ in range(FAILURES):
        circuit.failed(200.0)
    assert (circuit.open, circuit.since) == (True, 200.0)


@pytest.mark.parametrize(("since", "seconds"), [(0.0, 60.0), (120.0, 40.0), (170.0, 10.0), (190.0, 0.0)])
def test_the_time_in_outages_is_known_for_any_span(since, seconds):
    circuit = in_outage(100.0)
    circuit.answered(150.0)
    for _ in range(FAILURES):
        circuit.failed(170.0)
    circuit.answered(180.0)
    assert circuit.outage_seconds(since, 300.0) == seconds


def test_an_outage_that_lasts_counts_until_now():
    assert in_outage(100.0).outage_seconds(0.0, 130.0) == 30.0
