"""Response files between two sessions: what counts as kept, and what is fetched again."""

import asyncio
import io
import threading
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from orchestrator.atomic import append
from orchestrator.errors import CallError, StorageError
from orchestrator.results import spool
from orchestrator.results.index import GENERAL
from orchestrator.results.remediation import Remediation
from orchestrator.results.spool import ResponseFiles

KEY = "0" * 32


def zipped(text: str = "Id,Success\r\n1,Y\r\n") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("response.csv", text)
    return file.getvalue()


@pytest.fixture
def responses(tmp_path):
    (tmp_path / ".responses").mkdir()
    return ResponseFiles(tmp_path, save=False)


@pytest.fixture
def kept(tmp_path):
    """The place of the one file that is kept."""
    path = tmp_path / ".responses" / f"{KEY}.zip"
    path.write_bytes(zipped())
    return path


def test_a_complete_file_is_kept(responses, kept):
    assert responses.keeps(KEY)


@pytest.mark.parametrize(
    "content", [b"Id,Success\n1,Y\n2,N\n3,\n", b"\xef\xbb\xbfSuccess,Id\r\nY,1\r\nN,\r\n,"]
)
def test_a_bare_csv_is_kept_and_counted_as_one_in_a_zip_is(responses, content):
    async def fetch(write):
        await write(content)

    async def counted():
        await responses.fetch(KEY, fetch)
        return await responses.count(KEY, None)

    records = asyncio.run(counted())
    assert (records.succeeded, records.failed, records.unprocessed) == (1, 1, 1)
    assert responses.keeps(KEY)


def test_a_file_is_written_outside_the_event_loop(responses, monkeypatch):
    threads = set()

    def noted(path, data):
        threads.add(threading.get_ident())
        append(path, data)

    async def fetch(write):
        for place in range(0, len(zipped()), 7):
            await write(zipped()[place : place + 7])

    monkeypatch.setattr(spool, "WRITTEN_AT_ONCE", 20)
    monkeypatch.setattr(spool, "append", noted)
    asyncio.run(responses.fetch(KEY, fetch))
    assert responses.keeps(KEY)
    assert threads
    assert threading.get_ident() not in threads


@pytest.mark.parametrize(
    "content",
    [b"", zipped()[:-1], zipped()[:40], bytes(len(zipped()))],
    ids=["empty", "without its last byte", "cut in its first entry", "nothing but zeros"],
)
def test_a_file_truncated_by_a_power_cut_is_not_kept(responses, kept, content):
    kept.write_bytes(content)
    assert not responses.keeps(KEY)


def test_a_file_omitted_from_remediation_is_removed(responses, kept):
    broken = bytearray(zipped())
    broken[45] ^= 0xFF
    kept.write_bytes(broken)
    assert responses.keeps(KEY)
    ((key, _),) = asyncio.run(responses.remediate([(KEY, None)]))
    assert (key, responses.keeps(KEY)) == (KEY, False)


def test_the_share_of_sorted_files_grows_with_each_file(responses, kept):
    names = [f"{number:032}" for number in range(4)]
    for name in names:
        kept.with_name(f"{name}.zip").write_bytes(zipped())
    shares: list[float] = []
    asyncio.run(responses.remediate([(name, "MPU") for name in names], shares.append))
    assert shares == [0.0, 0.25, 0.5, 0.75]


def test_a_missing_file_is_omitted_with_a_reason(responses):
    ((key, reason),) = asyncio.run(responses.remediate([(KEY, None)]))
    assert (key, "missing" in reason) == (KEY, True)


def test_records_of_an_earlier_session_are_sorted_at_the_end(responses, kept, tmp_path):
    asyncio.run(responses.remediate([(KEY, "MPU")]))
    assert (tmp_path / "remediation" / "succeeded.csv").read_text().splitlines()[1:] == [f"{KEY},1,1,Y"]


def test_records_of_a_shard_are_counted_with_their_groups_once_sorted(responses, tmp_path, kept):
    kept.write_bytes(zipped("Id,Group ID,Success\r\n1,a,N\r\n2,a,\r\n3,b,\r\n"))
    shard = ResponseFiles(tmp_path, save=False, sort=False)
    assert asyncio.run(shard.count(KEY, None)).held_by_group is None
    found = {}
    asyncio.run(
        responses.remediate([(KEY, None)], on_sorted=lambda name, records: found.update({name: records}))
    )
    assert (found[KEY].held_by_group, found[KEY].unprocessed) == (1, 2)


def test_a_disk_without_room_keeps_no_file_and_leaves_the_rest_to_the_journal(responses, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=spool.RESERVE - 1))

    async def fetch(write):
        raise AssertionError("nothing is fetched")

    with pytest.raises(CallError, match="No space left"):
        asyncio.run(responses.fetch(KEY, fetch))


def test_records_that_cannot_be_sorted_are_still_counted(responses, kept, monkeypatch):
    def refuse(*_):
        raise StorageError("The remediation files cannot be written: No space left on device.")

    monkeypatch.setattr(Remediation, "add", refuse)
    records = asyncio.run(responses.count(KEY, "MPU"))
    assert (records.succeeded, "cannot be written" in (responses.trouble or "")) == (1, True)
    with pytest.raises(StorageError, match="cannot be written"):
        asyncio.run(responses.remediate([(KEY, "MPU")]))


def test_discarded_files_count_as_remediated(responses, kept):
    asyncio.run(responses.remediate([(KEY, None)]))
    responses.discard()
    assert responses.remediated


def test_discarding_that_was_cut_halfway_counts_as_done(responses, kept, monkeypatch):
    asyncio.run(responses.remediate([(KEY, None)]))
    monkeypatch.setattr("orchestrator.results.spool.shutil.rmtree", lambda *_, **__: None)
    responses.discard()
    assert responses.remediated


def test_discarding_that_was_cut_halfway_is_finished_the_next_time(responses, kept, monkeypatch, tmp_path):
    with monkeypatch.context() as cut:
        cut.setattr("orchestrator.results.spool.shutil.rmtree", lambda *_, **__: None)
        responses.discard()
    responses.discard()
    assert list(tmp_path.iterdir()) == []


def test_an_unfinished_remediation_does_not_count(responses, tmp_path):
    (tmp_path / ".responses").rmdir()
    (tmp_path / "remediation").mkdir()
    assert not responses.remediated


def test_a_remediation_that_may_not_be_read_does_not_count(responses, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", refuse)
    assert not responses.remediated


@pytest.mark.parametrize(
    "error",
    [OSError(28, "No space left on device", "/runs/1/.responses"), StorageError("No space left on device.")],
)
def test_a_file_that_cannot_be_kept_is_reported_in_a_sentence(responses, error, monkeypatch):
    def read(name, action_type):
        raise error

    monkeypatch.setattr(responses, "_read", read)
    with pytest.raises(CallError):
        asyncio.run(responses.count(KEY, None))
    assert responses.trouble == "A response file could not be kept on this machine: No space left on device."


def test_a_run_without_response_files_has_the_general_files_without_a_record(responses, tmp_path):
    asyncio.run(responses.remediate([]))
    files = {path.name: path.read_bytes() for path in (tmp_path / "remediation").iterdir()}
    assert files == dict.fromkeys([f"{name}.csv" for name in GENERAL], b"bulk_key,row\r\n")
