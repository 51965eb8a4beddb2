"""Control messages reach the shards, also if they cannot be written."""

import asyncio
import time
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from orchestrator.clock import Clock
from orchestrator.cluster import control
from orchestrator.cluster.control import Control, ControlMessage, Degree, EndedByCaller
from orchestrator.engine.cutoff import Interrupted
from orchestrator.logs import Sink, make_log

ENOUGH, OVER = EndedByCaller("enough", 4), EndedByCaller("over", 5)


def control_of(session: Path, sink: Sink | None = None) -> Control:
    return Control(session, make_log(sink or Sink(None, None), Clock(), "run"))


class ThroughDask:
    """Records what is sent through dask."""

    def __init__(self) -> None:
        self.messages: list[ControlMessage] = []

    async def __call__(self, session: str, message: bytes) -> None:
        self.messages.append(msgspec.json.decode(message, type=ControlMessage))


@pytest.fixture
def through_dask() -> ThroughDask:
    return ThroughDask()


@pytest.mark.parametrize(("stricter", "other"), list(pairwise(reversed(Degree))))
def test_the_stricter_of_two_messages_counts_whichever_comes_last(stricter, other):
    first, second = ControlMessage(stricter, "first"), ControlMessage(other, "second")
    assert first.or_stricter(second) == second.or_stricter(first) == first


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (ControlMessage(Degree.STOP_SENDING, "enough"), EndedByCaller),
        (ControlMessage(Degree.CANCEL, "over", 5), EndedByCaller),
        (ControlMessage(Degree.CANCEL, "SIGINT", 130), Interrupted),
        (ControlMessage(Degree.INTERRUPT, "SIGTERM", 143), Interrupted),
    ],
)
def test_a_shard_ends_for_the_callers_reason_and_with_its_exit_status(message, kind):
    error = message.error
    assert (type(error), str(error), error.exit_status) == (kind, message.reason, message.exit_status)


def test_a_message_is_read_with_the_time_of_its_writing(tmp_path):
    before = time.time()
    control_of(tmp_path).send(Degree.STOP_SENDING, ENOUGH)
    message, written_at = control.read(tmp_path)
    assert (message.degree, message.reason) == (Degree.STOP_SENDING, "enough")
    assert before <= message.at <= time.time()
    assert written_at == (tmp_path / control.FILE).stat().st_mtime


def test_no_message_is_withdrawn_by_a_later_one(tmp_path):
    caller = control_of(tmp_path)
    for degree, reason in (
        (Degree.STOP_SENDING, ENOUGH),
        (Degree.CANCEL, OVER),
        (Degree.STOP_SENDING, ENOUGH),
    ):
        caller.send(degree, reason)
    message, _ = control.read(tmp_path)
    assert (message.degree, message.reason, message.exit_status) == (Degree.CANCEL, "over", 5)


def test_a_written_message_is_not_sent_through_dask(tmp_path, through_dask):
    caller = control_of(tmp_path)
    caller.send(Degree.CANCEL, OVER)
    asyncio.run(caller.resend(through_dask))
    assert through_dask.messages == []


def test_a_message_that_cannot_be_written_is_resent_through_dask_and_logged_once(tmp_path, through_dask):
    log = tmp_path / "run.log"
    sink = Sink(log, None)
    caller = control_of(tmp_path / "gone", sink)
    caller.send(Degree.CANCEL, OVER)
    for _ in range(3):
        asyncio.run(caller.resend(through_dask))
    assert through_dask.messages == [ControlMessage(Degree.CANCEL, "over", 5)] * 3
    sink.close()
    assert log.read_text().count("control.not_written") == 1


def test_a_message_that_could_not_be_written_is_written_as_soon_as_possible(tmp_path, through_dask):
    caller = control_of(tmp_path / "late")
    caller.send(Degree.CANCEL, OVER)
    (tmp_path / "late").mkdir()
    asyncio.run(caller.resend(through_dask))
    assert control.read(tmp_path / "late")[0].reason == "over"
    assert through_dask.messages == []
