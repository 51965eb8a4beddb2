"""The displayed counts: none twice, none beyond the whole, and current rates."""

import asyncio
import io
from collections import Counter
from typing import Any

import pytest

from orchestrator.cli import progress
from orchestrator.clock import Clock
from orchestrator.logs import Screen, Sink, make_log
from orchestrator.model import Answered, Limits, Outcome
from orchestrator.progress import SPAN, OutageFacts, Progress, Speed


def answer(limits: Limits | None = None, **changes: Any) -> Answered:
    fields: dict[str, Any] = {"http_status": 200, "throttled": False, "retry_after": None, "seconds": 0.1}
    return Answered(limits or Limits(), **(fields | changes))


def test_a_key_counts_as_sent_once_its_stop_is_accepted_or_not_needed():
    progress = Progress(keys=10, accepted=3, completed_unsent=2)
    assert progress.keys_answered == 5


def test_a_resumed_run_begins_where_the_earlier_session_ended():
    progress = Progress(keys=10, accepted=4, sent_before=1, over_before=3)
    assert (progress.keys_answered, progress.keys_completed) == (5, 3)


def test_no_count_goes_beyond_the_whole():
    progress = Progress(keys=10, accepted=10, completed_unsent=4, completed=14)
    assert (progress.keys_answered, progress.keys_completed) == (10, 10)


def test_a_key_that_is_not_over_needs_a_person():
    progress = Progress(completed=4)
    progress.outcomes.update([Outcome.STOPPED, Outcome.WOULD_STOP, Outcome.REJECTED, Outcome.UNREACHABLE])
    assert progress.need_a_person == 2


def test_a_key_that_is_not_over_counts_for_no_later_stage():
    progress = Progress(
        keys=9, completed=3, confirmed=3, confirmed_before=2, over_before=2, not_over_before=1
    )
    progress.outcomes.update([Outcome.STOPPED, Outcome.REJECTED, Outcome.UNCONFIRMED])
    assert (progress.keys_over, progress.keys_with_results, progress.need_a_person) == (2, 2, 3)


OVER: dict[str, Any] = {"keys": 5, "confirmed": 4, "confirmed_before": 1, "read_to_end": True}


@pytest.mark.parametrize(
    ("changes", "all_over"),
    [
        ({}, True),
        ({"confirmed": 3}, False),
        ({"read_to_end": False}, False),
        ({"not_over_before": 1}, False),
        ({"completed": 1}, False),  # one that needs a person
        ({"completed": 1, "outcomes": Counter({Outcome.STOPPED: 1})}, True),
        ({"planning": True}, False),
        ({"keys": 0, "confirmed": 0, "confirmed_before": 0}, False),
    ],
)
def test_all_is_over_once_every_key_of_the_whole_input_is_confirmed(changes, all_over):
    assert Progress(**(OVER | changes)).all_over is all_over


def test_a_progress_event_says_what_the_run_waits_for():
    outage = OutageFacts(10.0, "Connection refused.", 21.0, 900.0)
    values = progress.fields(Progress(outage=outage, closing_by=32.0), Speed(), 20.0)
    found = values["outage_seconds"], values["outage"], values["ends_within_seconds"]
    assert found == (10.0, "Connection refused.", 12.0)
    values = progress.fields(Progress(closing_by=32.0, writing=0.4), Speed(), 20.0)
    assert (values["writing_percent"], "ends_within_seconds" in values) == (40, False)


def test_an_answer_without_limits_keeps_the_known_limits():
    progress = Progress()
    limits = Limits(concurrency=40)
    progress.received(answer(limits))
    progress.received(answer())
    assert progress.limits == limits


def test_a_refusal_does_not_change_the_call_time():
    progress = Progress()
    progress.received(answer(seconds=0.2))
    progress.received(answer(seconds=0.0, throttled=True))
    assert progress.call_seconds == 0.2


def test_the_speed_is_the_recent_speed():
    speed = Speed()
    speed.at(0.0, 0)
    speed.at(10.0, 1_000)
    for second in range(1, 1 + 2 * int(SPAN)):
        speed.at(10.0 + second, 1_000 + 10 * second)
    assert speed.at(11.0 + 2 * SPAN, 1_010 + 20 * int(SPAN)) == pytest.approx(10.0, rel=0.1)


def test_without_progress_there_is_no_speed_and_no_forecast():
    speed = Speed()
    for second in range(20):
        assert speed.at(float(second), 5) is None
    assert speed.seconds_for(10) is None


def test_the_time_before_a_stage_begins_does_not_slow_its_forecast():
    speed = Speed()
    for second in range(61):
        speed.at(float(second), 0)
    assert (speed.at(61.0, 60), speed.seconds_for(600)) == (60.0, 10.0)


def test_a_stage_that_becomes_faster_has_its_new_speed_after_a_few_seconds():
    speed = Speed()
    counted = 0
    for second in range(20):
        counted += 10 if second < 15 else 100
        speed.at(float(second), counted)
    assert speed.seconds_for(500) == 5.0


def test_the_time_left_follows_from_the_rest_and_the_speed():
    speed = Speed()
    speed.at(0.0, 0)
    speed.at(10.0, 20)
    assert speed.seconds_for(30) == 15.0


def test_a_progress_event_has_the_counts_of_the_run():
    counts = Progress(keys=10, accepted=4, confirmed=3, completed=3, slots=36, in_flight=2, closed_until=25.0)
    counts.outcomes.update([Outcome.STOPPED, Outcome.REJECTED, Outcome.STOPPED])
    fields = progress.fields(counts, Speed(), 20.0)
    assert fields == {
        "keys": 10, "answered": 4, "over": 2, "results": 2, "need_a_person": 1, "per_second": None, "retries": 0,
        "throttled": 0, "hedged": 0, "in_flight": 2, "slots": 36, "waiting_seconds": 5.0,
    }  # fmt: skip


def test_an_event_of_a_plan_has_no_stops():
    assert "answered" not in progress.fields(Progress(planning=True), Speed(), 0.0)


class WatchedStream(io.StringIO):
    """A stream that signals each write."""

    def __init__(self) -> None:
        super().__init__()
        self.event = asyncio.Event()

    def write(self, text: str) -> int:
        self.event.set()
        return super().write(text)


@pytest.mark.asyncio
async def test_progress_is_logged_now_and_then_until_the_run_ends():
    stream = WatchedStream()
    log = make_log(Sink(None, Screen(stream, "info", json=True)), Clock(), "run")
    async with progress.logged(Progress(keys=3), log, every=0.001):
        await stream.event.wait()
    before = stream.getvalue()
    await asyncio.sleep(0.01)
    assert stream.getvalue() == before
    assert '"event":"run.progress"' in before
