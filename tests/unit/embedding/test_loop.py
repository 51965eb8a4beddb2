"""The calling program: nothing blocks its event loop, and its process is left as it was."""

import os
import subprocess
import sys
import time
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from orchestrator import stop_each
from orchestrator.journal.writer import FallbackConnection
from tests.unit.embedding.served import LONGEST, Served, one_by_one


def printed_by(script: str, served: Served, out: Path) -> str:
    """The output of a program in this folder, which stops every action of ``served``."""
    config = served.tenant.config
    path = Path(__file__).with_name(script)
    done = subprocess.run(
        [sys.executable, path, served.tenant.base_url, config.client_id, out, *served.tenant.keys],
        capture_output=True, text=True, check=False, timeout=LONGEST,
        env=os.environ | {"SECRET": config.client_secret},
    )  # fmt: skip
    assert (done.stderr, done.returncode) == ("", 0)
    return done.stdout


def test_no_file_is_opened_synced_or_hashed_in_the_thread_of_the_loop(served: Served, tmp_path: Path):
    assert printed_by("on_the_loop.py", served, tmp_path) == ""


def test_a_run_changes_nothing_else_in_the_process_of_its_program(served: Served, tmp_path: Path):
    assert printed_by("left_alone.py", served, tmp_path / "run") == ""


@pytest.fixture
def commits(many: Served, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one for each transaction of any journal, which waits for the calls in flight."""
    made: list[int] = []
    commit = FallbackConnection.commit

    def counted(connection: FallbackConnection, group: Any) -> Any:
        made.append(len(group))
        while many.tenant.in_flight:
            time.sleep(0.005)
        time.sleep(SLOW_DISK)
        return commit(connection, group)

    monkeypatch.setattr(FallbackConnection, "commit", counted)
    return made


SLOW_DISK = 0.05


@pytest.fixture
def many(tmp_path: Path):
    """A tenant with more keys than a run needs transactions."""
    one = Served(actions=60)
    one.start()
    yield one
    one.end()


@pytest.mark.asyncio
@pytest.mark.parametrize("given", [list, one_by_one], ids=["a list", "one by one"])
async def test_stop_each_does_not_commit_once_per_key(
    many: Served, tmp_path: Path, commits: list[int], given: Any
):
    keys = many.tenant.keys
    async with aclosing(stop_each(given(keys), many.settings(tmp_path / "run"))) as actions:
        assert len([action async for action in actions]) == len(keys)
    assert len(commits) < len(keys)
