"""Control messages reach the shards, also if they cannot be written."""

import asyncio
import time
from pathlib import Path

import msgspec
import pytest

from orchestrator.clock import Clock
from orchestrator.cluster import control
from orchestrator.cluster.control import Control, ControlMessage, EndedByCaller
from orchestrator.engine.cutoff import Interrupted
from orchestrator.logs import Sink, make_log


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


def test_each_order_is_stricter_than_those_before_it():
    kinds = [
        ControlMessage(),
        ControlMessage(stop_sending="enough"),
        ControlMessage(interrupt="SIGINT"),
        ControlMessage(cut="over"),
        ControlMessage(stop_sending="enough", cut="over"),
        ControlMessage(interrupt="SIGINT", cut="over"),
    ]
    assert sorted(kinds, key=lambda message: message.strictness) == kinds
    assert len({message.strictness for message in kinds}) == len(kinds)


@pytest.mark.parametrize(
    ("message", "kind", "sentence"),
    [
        (ControlMessage(stop_sending="enough"), EndedByCaller, "enough"),
        (ControlMessage(stop_sending="enough", cut="over"), EndedByCaller, "over"),
        (ControlMessage(cut="SIGINT", exit_status=130), Interrupted, "SIGINT"),
        (ControlMessage(stop_sending="enough", interrupt="SIGINT", exit_status=130), Interrupted, "SIGINT"),
    ],
)
def test_a_shard_ends_for_the_callers_reason_and_with_its_exit_status(message, kind, sentence):
    reason = message.reason
    assert (type(reason), str(reason), reason.exit_status) == (kind, sentence, message.exit_status)


def test_a_message_is_read_with_the_time_of_its_writing(tmp_path):
    before = time.time()
    control_of(tmp_path).send(stop_sending="enough")
    message, written_at = control.read(tmp_path)
    assert (message.stop_sending, message.cut) == ("enough", None)
    assert before <= message.at <= time.time()
    assert written_at == (tmp_path / control.FILE).stat().st_mtime


def test_a_later_message_keeps_what_was_sent_before(tmp_path):
    caller = control_of(tmp_path)
    caller.send(stop_sending="enough")
    caller.send(cut="over", exit_status=5)
    message, _ = control.read(tmp_path)
    assert (message.stop_sending, message.cut, message.exit_status) == ("enough", "over", 5)


def test_a_written_message_is_not_sent_through_dask(tmp_path, through_dask):
    caller = control_of(tmp_path)
    caller.send(cut="over")
    asyncio.run(caller.resend(through_dask))
    assert through_dask.messages == []


def test_a_message_that_cannot_be_written_is_resent_through_dask_and_logged_once(tmp_path, through_dask):
    log = tmp_path / "run.log"
    sink = Sink(log, None)
    caller = control_of(tmp_path / "gone", sink)
    caller.send(cut="over")
    for _ in range(3):
        asyncio.run(caller.resend(through_dask))
    assert through_dask.messages == [ControlMessage(cut="over")] * 3
    sink.close()
    assert log.read_text().count("control.not_written") == 1


def test_a_message_that_could_not_be_written_is_written_as_soon_as_possible(tmp_path, through_dask):
    caller = control_of(tmp_path / "late")
    caller.send(cut="over")
    (tmp_path / "late").mkdir()
    asyncio.run(caller.resend(through_dask))
    assert control.read(tmp_path / "late")[0].cut == "over"
    assert through_dask.messages == []
