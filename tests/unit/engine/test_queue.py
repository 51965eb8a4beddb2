"""Which waiting call starts next: the queue by hand, without a loop."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.engine.queue import Delayed, Priority, PriorityQueue
from orchestrator.engine.retry import AT_START, MOST_SAVED, SHARE, RetryBudget


def no() -> bool:
    return False


def yes() -> bool:
    return True


def out(queue: PriorityQueue[str], now: float = 100.0, results_wait=no) -> list[str]:
    """All that may start at ``now``, in order."""
    found = []
    while (item := queue.pop(now, results_wait)) is not None:
        found.append(item)
    return found


def spent(queue: PriorityQueue[str]) -> PriorityQueue[str]:
    """With no retry left in its budget."""
    while queue.budget.spend():
        pass
    return queue


@pytest.fixture
def queue() -> PriorityQueue[str]:
    return PriorityQueue()


def test_stops_start_before_guards_late_retries_polls_and_files(queue):
    spent(queue)
    for priority in reversed(Priority):
        if priority is not Priority.HEDGE:
            queue.push(priority, priority.name)
    assert out(queue) == ["STOP", "GUARD", "RETRY", "POLL", "FILE"]


def test_a_hedge_is_sent_after_waiting_stops_and_before_all_other_calls(queue):
    spent(queue)
    for priority in (Priority.RETRY, Priority.GUARD, Priority.STOP, Priority.HEDGE):
        queue.push(priority, priority.name)
    assert out(queue) == ["STOP", "HEDGE", "GUARD", "RETRY"]


def test_a_file_waits_while_a_stop_may_need_its_slot(queue):
    queue.push(Priority.FILE, "file")
    queue.push(Priority.POLL, "poll")
    found = [
        queue.pop(0.0, lambda: False, yes),
        queue.pop(0.0, lambda: False, yes),
        queue.pop(0.0, lambda: False),
    ]
    assert found == ["poll", None, "file"]


def test_a_retry_within_the_budget_joins_the_stops_at_their_end(queue):
    queue.push(Priority.RETRY, "retry")
    queue.push(Priority.GUARD, "guard")
    queue.push(Priority.STOP, "stop")
    assert out(queue) == ["stop", "retry", "guard"]


@pytest.mark.parametrize("budget", ["within", "beyond"])
def test_a_retry_waits_for_its_time_within_and_beyond_the_budget(queue, budget):
    if budget == "beyond":
        spent(queue)
    queue.push(Priority.RETRY, "retry", 200.0)
    assert (out(queue, 199.9), out(queue, 200.0)) == ([], ["retry"])


@pytest.mark.parametrize("priority", [Priority.POLL, Priority.FILE])
def test_a_result_waits_for_its_time(queue, priority):
    queue.push(priority, "result", 5.0)
    assert (out(queue, 4.9), out(queue, 5.0)) == ([], ["result"])


def test_other_calls_wait_for_stops_that_are_coming(queue):
    spent(queue)
    for priority in (Priority.FILE, Priority.POLL, Priority.RETRY):
        queue.push(priority, priority.name)
    assert (out(queue, results_wait=yes), out(queue)) == ([], ["RETRY", "POLL", "FILE"])


def test_a_silent_tenant_is_probed_with_a_retry_before_a_new_stop(queue):
    spent(queue)
    queue.push(Priority.STOP, "stop")
    queue.push(Priority.RETRY, "retry")
    assert queue.pop(100.0, no, probing=True) == "retry"
    assert out(queue) == ["stop"]


def test_a_silent_tenant_is_probed_with_retries_and_new_stops_in_turns(queue):
    """A retry need not be due. Only some keys may fail, so new stops have their turn as well."""
    spent(queue)
    for number in (1, 2):
        queue.push(Priority.STOP, f"stop {number}")
        queue.push(Priority.RETRY, f"retry {number}", 200.0)
    probes = [queue.pop(100.0, no, probing=True) for _ in range(4)]
    assert probes == ["retry 1", "stop 1", "retry 2", "stop 2"]


def test_nothing_is_dropped_whatever_the_budget(queue):
    for n in range(1_000):
        queue.push(Priority.RETRY, str(n))
    assert sorted(out(queue)) == sorted(map(str, range(1_000)))


def test_retries_within_and_beyond_the_budget_are_counted(queue):
    for n in range(100):
        queue.push(Priority.RETRY, str(n))
    assert queue.retries == 100


def test_stops_and_guards_are_ready_at_any_time(queue):
    for priority in (Priority.STOP, Priority.GUARD, Priority.POLL):
        queue.push(priority, priority.name)
    assert queue.ready == 2


def test_drained_stops_leave_polls_and_files(queue):
    for priority in Priority:
        queue.push(priority, priority.name)
    assert queue.drain_stops() == ["STOP", "HEDGE", "GUARD", "RETRY"]
    assert out(queue) == ["POLL", "FILE"]


def test_a_drained_queue_is_empty(queue):
    for priority in Priority:
        queue.push(priority, priority.name, 5.0)
    assert len(queue.drain()) == len(Priority)
    assert (out(queue), queue.due()) == ([], inf)


def test_the_next_due_time_is_the_earliest(queue):
    assert queue.due() == inf
    due = []
    for priority, at in ((Priority.FILE, 8.0), (Priority.POLL, 7.0), (Priority.RETRY, 6.0)):
        queue.push(priority, priority.name, at)
        due.append(queue.due())
    spent(queue).push(Priority.RETRY, "late", 5.0)
    assert [*due, queue.due()] == [8.0, 7.0, 6.0, 5.0]


# The budget


def test_a_few_retries_are_free():
    budget = RetryBudget()
    assert [budget.spend() for _ in range(AT_START + 1)] == [True] * AT_START + [False]


def test_retries_are_a_share_of_the_stops():
    budget, tried = RetryBudget(), 0
    for _ in range(1_000):
        budget.earn()
        tried += budget.spend()
    assert tried == pytest.approx(AT_START + 1_000 * SHARE, abs=1)


def test_no_great_number_of_retries_is_saved_up():
    budget = RetryBudget()
    for _ in range(10_000):
        budget.earn()
    assert sum(budget.spend() for _ in range(1_000)) == MOST_SAVED


# Delayed


@given(st.lists(st.integers(0, 5)))
def test_delayed_things_come_out_by_time_and_then_by_arrival(dues):
    delayed: Delayed[int] = Delayed()
    for n, due in enumerate(dues):
        delayed.push(due, n)
    assert [delayed.pop() for _ in dues] == sorted(range(len(dues)), key=lambda n: (dues[n], n))


def test_the_due_time_is_that_of_the_earliest():
    delayed: Delayed[str] = Delayed()
    assert delayed.due == inf
    for due in (5.0, 2.0, 9.0):
        delayed.push(due, "job")
    assert delayed.due == 2.0
    delayed.pop()
    assert delayed.due == 5.0


def test_an_empty_queue_has_no_due_time():
    delayed: Delayed[str] = Delayed()
    delayed.push(5.0, "job")
    delayed.pop()
    assert delayed.due == inf
