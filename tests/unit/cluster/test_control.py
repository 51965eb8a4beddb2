"""What the caller of shards wants of them, and that they get to know it also where it cannot be written."""

import asyncio
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from orchestrator.clock import Clock
from orchestrator.cluster import cluster
from orchestrator.cluster import control as orders
from orchestrator.cluster.control import Control, Ordered, Orders
from orchestrator.engine.cutoff import Interrupted
from orchestrator.logs import Sink, make_log


def control(home: Path, sink: Sink | None = None) -> Control:
    return Control(home, make_log(sink or Sink(None, None), Clock(), "run"))


def test_no_more_calls_is_stricter_than_no_more_stops_and_that_than_to_go_on():
    kinds = [
        Orders(),
        Orders(stop_sending="enough"),
        Orders(cut="over"),
        Orders(stop_sending="enough", cut="over"),
    ]
    assert sorted(kinds, key=lambda order: order.strictness) == kinds
    assert len({order.strictness for order in kinds}) == len(kinds)


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        (Orders(stop_sending="enough"), Ordered, "enough"),
        (Orders(stop_sending="enough", cut="over"), Ordered, "over"),
        (Orders(cut="SIGINT", exit_status=130), Interrupted, "SIGINT"),
    ],
)
def test_a_shard_ends_for_the_callers_reason_and_with_its_exit_status(given, kind, message):
    reason = given.reason
    assert (type(reason), str(reason), reason.exit_status) == (kind, message, given.exit_status)


def test_what_is_ordered_is_read_with_the_time_it_was_given_at(tmp_path):
    before = time.time()
    control(tmp_path).order(stop_sending="enough")
    read, written_at = orders.read(tmp_path)
    assert (read.stop_sending, read.cut) == ("enough", None)
    assert before <= read.at <= time.time()
    assert written_at == (tmp_path / orders.FILE).stat().st_mtime


def test_a_later_order_keeps_what_was_ordered_before(tmp_path):
    caller = control(tmp_path)
    caller.order(stop_sending="enough")
    caller.order(cut="over", exit_status=5)
    read, _ = orders.read(tmp_path)
    assert (read.stop_sending, read.cut, read.exit_status) == ("enough", "over", 5)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Orders]:
    """What the workers are told by dask."""
    heard: list[Orders] = []

    async def tell(client: Any, home: str, text: bytes) -> None:
        heard.append(msgspec.json.decode(text, type=Orders))

    monkeypatch.setattr(cluster, "tell", tell)
    return heard


def test_what_was_written_is_not_told_by_dask_too(tmp_path, told):
    caller = control(tmp_path)
    caller.order(cut="over")
    asyncio.run(caller.insist(None))
    assert told == []


def test_what_cannot_be_written_is_told_by_dask_again_and_again_and_logged_once(tmp_path, told):
    log = tmp_path / "run.log"
    sink = Sink(log, None)
    caller = control(tmp_path / "gone", sink)
    caller.order(cut="over")
    for _ in range(3):
        asyncio.run(caller.insist(None))
    assert told == [Orders(cut="over")] * 3
    sink.close()
    assert log.read_text().count("orders.not_written") == 1


def test_what_could_not_be_written_is_written_as_soon_as_it_can_be(tmp_path, told):
    caller = control(tmp_path / "late")
    caller.order(cut="over")
    (tmp_path / "late").mkdir()
    asyncio.run(caller.insist(None))
    assert orders.read(tmp_path / "late")[0].cut == "over"
    assert told == []
