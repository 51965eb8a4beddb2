"""A tenant that answers nothing: noticed, probed with one call at a time, welcomed back."""

import pytest

from orchestrator.pacing.circuit import BASE, CAP, SILENCE, Circuit


def highest(low: float, high: float) -> float:
    return high


def lowest(low: float, high: float) -> float:
    return low


def silent(now: float = 100.0, uniform=highest) -> Circuit:
    circuit = Circuit(uniform)
    for _ in range(SILENCE):
        circuit.take()
    for _ in range(SILENCE):
        circuit.unanswered(now)
    return circuit


def probe(circuit: Circuit, now: float) -> None:
    circuit.take()
    circuit.unanswered(now)


def test_a_few_calls_without_an_answer_are_no_silence():
    circuit = Circuit(highest)
    for _ in range(SILENCE - 1):
        circuit.unanswered(0.0)
    assert not circuit.open


def test_so_many_in_a_row_are():
    assert silent().open


def test_an_answer_between_them_starts_the_count_anew():
    circuit = Circuit(highest)
    for n in range(10 * SILENCE):
        circuit.unanswered(0.0)
        if n % (SILENCE - 1) == 0:
            circuit.answered()
    assert not circuit.open


def test_the_first_probe_leaves_after_a_pause():
    assert silent(100.0).opens_at(0) == 100.0 + BASE


def test_a_pause_counts_from_the_call_by_which_the_silence_was_noticed():
    circuit = Circuit(highest)
    for now in range(SILENCE):
        circuit.unanswered(10.0 * now)
    assert circuit.opens_at(0) == 10.0 * (SILENCE - 1) + BASE


def test_a_pause_is_at_least_half_as_long_as_at_most():
    assert silent(100.0, lowest).opens_at(0) == 100.0 + BASE / 2


def test_no_probe_leaves_while_a_call_is_under_way():
    assert silent().opens_at(1) is None


def test_calls_that_left_before_the_silence_was_noticed_are_no_probes():
    circuit = silent(100.0)
    for _ in range(30):
        circuit.unanswered(101.0)
    assert (circuit.failed_probes, circuit.opens_at(0)) == (0, 100.0 + BASE)


@pytest.mark.parametrize(("probes", "pause"), [(1, 1.0), (2, 2.0), (3, 4.0), (4, CAP), (5, CAP), (500, CAP)])
def test_pauses_grow_up_to_a_longest(probes, pause):
    circuit = silent()
    for _ in range(probes):
        probe(circuit, 200.0)
    assert circuit.opens_at(0) == 200.0 + pause


def test_failed_probes_are_counted():
    circuit = silent()
    for _ in range(7):
        probe(circuit, 200.0)
    assert circuit.failed_probes == 7


def test_an_answer_ends_the_silence_and_says_so():
    circuit = silent()
    assert circuit.answered()
    assert (circuit.open, circuit.failed_probes) == (False, 0)


def test_an_answer_where_there_was_no_silence_is_nothing_new():
    assert not Circuit(highest).answered()


def test_a_second_silence_is_noticed_as_the_first_was():
    circuit = silent()
    probe(circuit, 150.0)
    circuit.answered()
    for _ in range(SILENCE):
        circuit.unanswered(200.0)
    assert (circuit.open, circuit.failed_probes, circuit.opens_at(0)) == (True, 0, 200.0 + BASE)
