"""A journal of which the disk lost or changed a part: noticed, told as far as it is valid, and never told wrongly."""

import random
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.store import checksum
from tests.hunts.disk.journals import lies, make, told

SAMPLE = 40
PAGE = 4096


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("closed"), killed=False)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("killed"), killed=True)


def flips(data: bytes, count: int | None) -> Iterator[bytes]:
    """``data`` with one bit changed: one of each byte, or ``count`` in all."""
    dice = random.Random(1)
    places = range(len(data))
    for place in places if count is None else dice.sample(places, count):
        changed = bytearray(data)
        changed[place] ^= 1 << dice.randrange(8)
        yield bytes(changed)


def cuts(data: bytes, count: int | None) -> Iterator[bytes]:
    """The beginning of ``data``: of every length but its own, or of ``count`` lengths."""
    lengths = range(len(data))
    for length in lengths if count is None else random.Random(1).sample(lengths, count):
        yield data[:length]


def put(original: Path, place: Path, name: str, data: bytes) -> Path:
    """A copy of the journal ``original`` in ``place``, whose file ``name`` holds ``data``."""
    for old in place.iterdir():
        old.unlink()
    for file in original.parent.iterdir():
        if file.name == name:
            (place / name).write_bytes(data)
        else:
            shutil.copyfile(file, place / file.name)
    return place / original.name


DAMAGE = {"flipped": flips, "cut": cuts}


@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize("count", [SAMPLE, pytest.param(None, marks=pytest.mark.hunt)], ids=["sample", "all"])
def test_a_closed_journal_that_was_damaged_is_noticed_and_tells_nothing_wrong(
    closed: Path, tmp_path: Path, how: str, count: int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = told(closed)
    assert truth.sentences == []
    tried: Counter[str] = Counter()
    data = closed.read_bytes()
    for changed in DAMAGE[how](data, count):
        now = told(put(closed, tmp_path, closed.name, changed))
        harmless = len(changed) >= len(data) - len(data) % PAGE and how == "cut"  # only the digest is gone
        assert now.sentences or (harmless and now == truth)
        assert lies(truth, now) == []
        tried[f"{len(now.actions)} of {len(truth.actions)} rows told"] += 1
    _say(capsys, count, f"closed journal, {how}", tried)


@pytest.mark.hunt
def test_any_bit_of_a_closed_journal_that_was_flipped_is_noticed(
    closed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = put(closed, tmp_path, "", b"")
    data = bytearray(closed.read_bytes())
    with path.open("r+b", buffering=0) as file:
        for bit in range(len(data) * 8):
            file.seek(bit // 8)
            file.write(bytes([data[bit // 8] ^ 1 << bit % 8]))
            assert checksum.holds(path) is False, f"bit {bit}"
            file.seek(bit // 8)
            file.write(data[bit // 8 : bit // 8 + 1])
    assert checksum.holds(path) is True
    _say(capsys, None, "closed journal, every bit", Counter(noticed=len(data) * 8))


@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize("name", ["journal.db", "journal.db-wal", "journal.db-shm"])
@pytest.mark.parametrize("count", [SAMPLE, pytest.param(None, marks=pytest.mark.hunt)], ids=["sample", "all"])
def test_a_journal_that_a_killed_process_left_and_that_was_damaged_tells_nothing_wrong(
    killed: Path, tmp_path: Path, name: str, how: str, count: int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = told(put(killed, tmp_path, "", b""))
    assert truth.sentences == []
    tried: Counter[str] = Counter()
    for changed in DAMAGE[how](killed.with_name(name).read_bytes(), count):
        now = told(put(killed, tmp_path, name, changed))
        assert lies(truth, now) == []
        if name == "journal.db-wal":
            assert now.sentences or now == truth, "a log that lost something went unnoticed"
        tried[
            "said" if now.sentences else "no difference" if now == truth else "an unsealed field differs"
        ] += 1
    _say(capsys, count, f"{name} of a killed run, {how}", tried)


def _say(capsys: pytest.CaptureFixture[str], count: int | None, what: str, tried: Counter[str]) -> None:
    if count is None:
        with capsys.disabled():
            print(f"\n{what}: {tried.total()} tried: {dict(tried)}; told wrongly: none")
