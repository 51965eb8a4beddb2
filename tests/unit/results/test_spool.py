"""Response files between two sessions: what counts as kept, and what is fetched again."""

import asyncio
import io
import zipfile

import pytest

from orchestrator.errors import CallError, StorageError
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


def test_a_whole_file_is_kept(responses, kept):
    assert responses.keeps(KEY)


@pytest.mark.parametrize(
    "content", [b"Id,Success\n1,Y\n2,N\n3,\n", b"\xef\xbb\xbfSuccess,Id\r\nY,1\r\nN,\r\n,"]
)
def test_a_bare_csv_is_kept_and_counted_as_one_in_a_zip_is(responses, content):
    async def fetch(write):
        write(content)

    async def counted():
        await responses.fetch(KEY, fetch)
        return await responses.count(KEY)

    records = asyncio.run(counted())
    assert (records.succeeded, records.failed, records.unprocessed) == (1, 1, 1)
    assert responses.keeps(KEY)


@pytest.mark.parametrize(
    "content",
    [b"", zipped()[:-1], zipped()[:40], bytes(len(zipped()))],
    ids=["empty", "without its last byte", "cut in its first entry", "nothing but zeros"],
)
def test_a_file_of_which_a_power_cut_left_less_is_not_kept(responses, kept, content):
    kept.write_bytes(content)
    assert not responses.keeps(KEY)


def test_a_file_that_the_remediation_left_out_is_not_kept_any_longer(responses, kept):
    broken = bytearray(zipped())
    broken[45] ^= 0xFF
    kept.write_bytes(broken)
    assert responses.keeps(KEY)
    ((key, _),) = asyncio.run(responses.remediate([KEY]))
    assert (key, responses.keeps(KEY)) == (KEY, False)


def test_what_was_discarded_counts_as_remediated(responses, kept):
    asyncio.run(responses.remediate([KEY]))
    responses.discard()
    assert responses.remediated


def test_discarding_that_was_cut_halfway_counts_as_done(responses, kept, monkeypatch):
    asyncio.run(responses.remediate([KEY]))
    monkeypatch.setattr("orchestrator.results.spool.shutil.rmtree", lambda *_, **__: None)
    responses.discard()
    assert responses.remediated


def test_discarding_that_was_cut_halfway_is_finished_the_next_time(responses, kept, monkeypatch, tmp_path):
    with monkeypatch.context() as cut:
        cut.setattr("orchestrator.results.spool.shutil.rmtree", lambda *_, **__: None)
        responses.discard()
    responses.discard()
    assert list(tmp_path.iterdir()) == []


def test_a_remediation_that_was_begun_and_not_written_is_none(responses, tmp_path):
    (tmp_path / ".responses").rmdir()
    (tmp_path / "remediation").mkdir()
    assert not responses.remediated


@pytest.mark.parametrize(
    "error",
    [OSError(28, "No space left on device", "/runs/1/.responses"), StorageError("No space left on device.")],
)
def test_a_file_that_the_machine_does_not_keep_is_told_in_a_plain_sentence(responses, error, monkeypatch):
    def read(name):
        raise error

    monkeypatch.setattr(responses, "_read", read)
    with pytest.raises(CallError):
        asyncio.run(responses.count(KEY))
    assert responses.trouble == "A response file could not be kept on this machine: No space left on device."
