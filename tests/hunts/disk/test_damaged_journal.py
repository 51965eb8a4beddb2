"""A journal that the disk changed or shortened: the damage is noticed, and the report says nothing false."""

import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from orchestrator.journal import checksum
from tests.hunts.disk.journals import lies, make, reported

Places = Callable[[bytes, pytest.Config], Iterable[int]]

SAMPLE = 40
SHARE = 16
PAGE = 4096


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("closed"), killed=False)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("killed"), killed=True)


def flips(data: bytes, places: Iterable[int]) -> Iterator[bytes]:
    """``data`` with one bit of the byte at each of ``places`` changed."""
    dice = random.Random(1)
    for place in places:
        changed = bytearray(data)
        changed[place] ^= 1 << dice.randrange(8)
        yield bytes(changed)


def cuts(data: bytes, places: Iterable[int]) -> Iterator[bytes]:
    """``data`` up to each of ``places``."""
    for place in places:
        yield data[:place]


def few(data: bytes, _: pytest.Config) -> Iterable[int]:
    """A fixed sample of places of ``data``."""
    return random.Random(1).sample(range(len(data)), SAMPLE)


def many(data: bytes, config: pytest.Config) -> Iterable[int]:
    """Every sixteenth place of ``data``: sixteen values of ``--first-seed`` in a row come to all of them."""
    return range(config.getoption("first_seed") % SHARE, len(data), SHARE)


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
@pytest.mark.parametrize("places", [few, pytest.param(many, marks=pytest.mark.hunt)])
def test_a_damaged_closed_journal_is_noticed_and_reports_nothing_wrong(
    closed: Path,
    tmp_path: Path,
    how: str,
    places: Places,
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
) -> None:
    truth = reported(closed)
    assert truth.sentences == []
    tried: Counter[str] = Counter()
    data = closed.read_bytes()
    for changed in DAMAGE[how](data, places(data, request.config)):
        now = reported(put(closed, tmp_path, closed.name, changed))
        harmless = len(changed) >= len(data) - len(data) % PAGE and how == "cut"  # only the digest is gone
        assert now.sentences or (harmless and now == truth)
        assert lies(truth, now) == []
        tried[f"{len(now.actions)} of {len(truth.actions)} rows reported"] += 1
    _say(capsys, places is many, f"closed journal, {how}", tried)


@pytest.mark.hunt
def test_any_flipped_bit_of_a_closed_journal_is_noticed(
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
    _say(capsys, True, "closed journal, every bit", Counter(noticed=len(data) * 8))


@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize("name", ["journal.db", "journal.db-wal", "journal.db-shm"])
@pytest.mark.parametrize("places", [few, pytest.param(many, marks=pytest.mark.hunt)])
def test_a_damaged_journal_of_a_killed_process_reports_nothing_wrong(
    killed: Path,
    tmp_path: Path,
    name: str,
    how: str,
    places: Places,
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
) -> None:
    truth = reported(put(killed, tmp_path, "", b""))
    assert truth.sentences == []
    tried: Counter[str] = Counter()
    data = killed.with_name(name).read_bytes()
    for changed in DAMAGE[how](data, places(data, request.config)):
        now = reported(put(killed, tmp_path, name, changed))
        assert lies(truth, now) == []
        if name == "journal.db-wal":
            assert now.sentences or now == truth, "a log that lost something went unnoticed"
        tried[
            "said" if now.sentences else "no difference" if now == truth else "an unsealed field differs"
        ] += 1
    _say(capsys, places is many, f"{name} of a killed run, {how}", tried)


def _say(capsys: pytest.CaptureFixture[str], hunting: bool, what: str, tried: Counter[str]) -> None:
    if hunting:
        with capsys.disabled():
            print(f"\n{what}: {tried.total()} tried: {dict(tried)}; false statements: none")
