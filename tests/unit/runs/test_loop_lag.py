"""Results of one tenant and stops of another on one core."""

from orchestrator.runs.loop_lag import LATE, Crowd


def test_nothing_is_held_while_the_loop_is_in_time():
    crowd = Crowd()
    crowd.beat(LATE / 2, {"north", "south"})
    assert not crowd.holds("north")


def test_results_wait_while_the_loop_is_late_and_another_tenant_sends():
    crowd = Crowd()
    crowd.beat(LATE * 2, {"south"})
    assert crowd.holds("north")


def test_results_do_not_wait_for_stops_of_their_own_tenant():
    crowd = Crowd()
    crowd.beat(LATE * 2, {"north"})
    assert not crowd.holds("north")


def test_results_do_not_wait_where_nobody_sends():
    crowd = Crowd()
    crowd.beat(LATE * 2, ())
    assert not crowd.holds("north")


def test_results_are_held_for_every_other_beat_at_most():
    crowd = Crowd()
    held = []
    for _ in range(4):
        crowd.beat(LATE * 2, {"south"})
        held.append(crowd.holds("north"))
    assert held == [True, False, True, False]


def test_the_end_of_holding_is_told_so_that_results_go_on():
    crowd = Crowd()
    told = [crowd.beat(late, {"south"}) for late in (LATE * 2, 0.0, 0.0)]
    assert told == [False, True, False]
