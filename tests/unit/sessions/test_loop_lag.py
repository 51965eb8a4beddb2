"""Results of one tenant and stops of another on one core."""

from orchestrator.sessions.loop_lag import LATE, LoopLagMonitor


def test_no_result_waits_while_the_loop_is_in_time():
    monitor = LoopLagMonitor()
    monitor.tick(LATE / 2, {"north", "south"})
    assert not monitor.holds("north")


def test_results_wait_while_the_loop_is_late_and_another_tenant_sends():
    monitor = LoopLagMonitor()
    monitor.tick(LATE * 2, {"south"})
    assert monitor.holds("north")


def test_results_do_not_wait_for_stops_of_their_own_tenant():
    monitor = LoopLagMonitor()
    monitor.tick(LATE * 2, {"north"})
    assert not monitor.holds("north")


def test_results_do_not_wait_if_no_tenant_sends():
    monitor = LoopLagMonitor()
    monitor.tick(LATE * 2, ())
    assert not monitor.holds("north")


def test_results_are_held_for_every_other_tick_at_most():
    monitor = LoopLagMonitor()
    held = []
    for _ in range(4):
        monitor.tick(LATE * 2, {"south"})
        held.append(monitor.holds("north"))
    assert held == [True, False, True, False]


def test_results_continue_when_the_wait_ends():
    monitor = LoopLagMonitor()
    resumed = [monitor.tick(late, {"south"}) for late in (LATE * 2, 0.0, 0.0)]
    assert resumed == [False, True, False]
