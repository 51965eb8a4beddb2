"""The folders in which shards journal, and what is left of them."""

import asyncio
import stat
from pathlib import Path

import pytest

from orchestrator.clock import Clock
from orchestrator.cluster import control as orders
from orchestrator.cluster.control import Orders
from orchestrator.cluster.merge import PATIENCE, Homecoming
from orchestrator.cluster.shared_dir import clear, home_of, lay_out, new_name
from orchestrator.errors import UsageError
from orchestrator.journal import journal as journals
from orchestrator.runs import rundir
from orchestrator.settings import Settings


def laid_out(home: Path) -> Path:
    session = home / new_name(1)
    lay_out(session, [session / "north"])
    return session


@pytest.mark.parametrize("name", ["shards", "mass-stop-shared", "other"])
def test_the_shared_folder_outlives_the_run_whatever_its_name(tmp_path, name):
    home = home_of(Settings(shared_dir=str(tmp_path / name)), tmp_path / "run", "id")
    session = laid_out(home)
    rundir.reopen(session / "north", shared=True).close()
    (session / "north" / "untouched").unlink()
    (session / "north").rmdir()
    clear(session)
    assert list(tmp_path.rglob("*")) == [tmp_path / name]


def test_a_run_without_a_shared_folder_keeps_none_of_its_own(tmp_path):
    session = laid_out(home_of(Settings(), tmp_path, "id"))
    (session / "north" / "untouched").unlink()
    (session / "north").rmdir()
    clear(session)
    assert list(tmp_path.iterdir()) == []


def test_a_session_whose_shards_are_not_all_back_is_left(tmp_path):
    session = laid_out(tmp_path)
    clear(session)
    assert (session / "north").is_dir()


def test_nobody_else_on_the_machine_can_look_into_a_session(tmp_path):
    assert stat.S_IMODE(laid_out(tmp_path / "home").stat().st_mode) == 0o700


def test_a_session_starts_with_orders_to_go_on(tmp_path):
    told, _ = orders.read(laid_out(tmp_path))
    assert told.strictness == Orders().strictness


def test_a_session_that_cannot_be_laid_out_leaves_nothing(tmp_path):
    session = tmp_path / "home" / "1-abcd"
    with pytest.raises(UsageError, match="cannot be filled"):
        lay_out(session, [session / "north", session / "north"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_a_shard_that_drains_may_take_as_long_as_a_call_to_let_go_of_its_folder(tmp_path):
    session = laid_out(tmp_path)
    journal = journals.inline(Clock())
    held = rundir.reopen(session / "north", shared=True)
    began = asyncio.get_running_loop().time()
    with pytest.raises(rundir.DirectoryInUse):
        await Homecoming(journal, tmp_path, True, timeout=120.0).bring_back(session / "north", "north")
    assert asyncio.get_running_loop().time() - began >= 120.0 + PATIENCE
    held.close()
    journal.close()
