"""The event loop of the calling program: nothing blocks it, and it is left as it was."""

import os
import subprocess
import sys
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from orchestrator import stop_each
from orchestrator.journal.writer import Ledger
from tests.unit.embedding.served import LONGEST, Served, one_by_one


def test_no_file_is_opened_synced_or_hashed_in_the_thread_of_the_loop(served: Served, tmp_path: Path):
    config = served.tenant.config
    script = Path(__file__).with_name("on_the_loop.py")
    done = subprocess.run(
        [sys.executable, script, served.tenant.base_url, config.client_id, tmp_path, *served.tenant.keys],
        capture_output=True, text=True, check=False, timeout=LONGEST,
        env=os.environ | {"SECRET": config.client_secret},
    )  # fmt: skip
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one for each transaction of any journal."""
    made: list[int] = []
    commit = Ledger.commit

    def counted(ledger: Ledger, group: Any) -> Any:
        made.append(len(group))
        return commit(ledger, group)

    monkeypatch.setattr(Ledger, "commit", counted)
    return made


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
