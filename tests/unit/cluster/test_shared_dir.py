"""The folders for the journals of shards, and their removal."""

import asyncio
import os
import stat
from pathlib import Path

import pytest

from orchestrator import rundir
from orchestrator.clock import Clock
from orchestrator.cluster import control
from orchestrator.cluster.control import Degree
from orchestrator.cluster.merge import PATIENCE, ShardMerge, merge_left_behind
from orchestrator.cluster.shared_dir import (
    create_session,
    new_session_name,
    remove_if_merged,
    sessions_folder,
)
from orchestrator.errors import UsageError
from orchestrator.journal.entries import RunInfo
from orchestrator.settings import Settings
from tests.inline_writer import inline


def laid_out(home: Path) -> Path:
    session = home / new_session_name(1)
    create_session(session, [session / "north"])
    return session


@pytest.mark.parametrize("name", ["shards", "mass-stop-shared", "other"])
def test_the_shared_folder_outlives_the_run_whatever_its_name(tmp_path, name):
    home = sessions_folder(Settings(shared_dir=str(tmp_path / name)), tmp_path / "run", "id")
    session = laid_out(home)
    rundir.reopen(session / "north", shared=True).close()
    (session / "north" / "untouched").unlink()
    (session / "north").rmdir()
    remove_if_merged(session)
    assert list(tmp_path.rglob("*")) == [tmp_path / name]


def test_a_run_without_a_shared_folder_keeps_none_of_its_own(tmp_path):
    session = laid_out(sessions_folder(Settings(), tmp_path, "id"))
    (session / "north" / "untouched").unlink()
    (session / "north").rmdir()
    remove_if_merged(session)
    assert list(tmp_path.iterdir()) == []


def test_a_session_with_a_shard_that_is_not_merged_stays(tmp_path):
    session = laid_out(tmp_path)
    remove_if_merged(session)
    assert (session / "north").is_dir()


def test_other_users_cannot_read_a_session(tmp_path):
    assert stat.S_IMODE(laid_out(tmp_path / "home").stat().st_mode) == 0o700


def test_a_session_starts_with_a_message_to_continue(tmp_path):
    message, _ = control.read(laid_out(tmp_path))
    assert message.degree is Degree.NONE


def test_a_session_that_cannot_be_created_leaves_nothing(tmp_path):
    session = tmp_path / "home" / "1-abcd"
    with pytest.raises(UsageError, match="cannot be filled"):
        create_session(session, [session / "north", session / "north"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_the_merge_waits_for_a_shard_as_long_as_a_call_may_take(tmp_path):
    session = laid_out(tmp_path)
    journal = inline(Clock())
    held = rundir.reopen(session / "north", shared=True)
    began = asyncio.get_running_loop().time()
    with pytest.raises(rundir.DirectoryInUse):
        await ShardMerge(journal, tmp_path, True, timeout=120.0).merge(session / "north", "north")
    assert asyncio.get_running_loop().time() - began >= 120.0 + PATIENCE
    held.close()
    journal.close()


def shared_by_all(tmp_path: Path, mode: int) -> Path:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(mode)
    return shared


def test_a_shared_folder_in_which_every_user_can_replace_folders_is_refused(tmp_path):
    shared = shared_by_all(tmp_path, 0o777)
    with pytest.raises(UsageError, match="every user of this machine can replace what is in"):
        laid_out(shared / "mass-stop-id")
    assert list(shared.iterdir()) == []


def test_a_shared_folder_in_which_users_keep_their_own_folders_is_used(tmp_path):
    session = laid_out(shared_by_all(tmp_path, 0o1777) / "mass-stop-id")
    assert stat.S_IMODE(session.parent.stat().st_mode) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder of another user")
def test_a_run_folder_that_another_user_made_is_refused(tmp_path):
    planted = shared_by_all(tmp_path, 0o1777) / "mass-stop-id"
    planted.mkdir(mode=0o777)
    os.chown(planted, 65534, 65534)
    with pytest.raises(UsageError, match=r"user 65534\), who could put false results there"):
        laid_out(planted)


def test_a_link_in_the_place_of_a_run_folder_is_refused(tmp_path):
    shared = shared_by_all(tmp_path, 0o1777)
    (tmp_path / "elsewhere").mkdir()
    (shared / "mass-stop-id").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="could put false results there"):
        laid_out(shared / "mass-stop-id")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder of another user")
@pytest.mark.asyncio
async def test_results_that_another_user_planted_are_not_merged(tmp_path):
    shared = shared_by_all(tmp_path, 0o1777)
    planted = shared / "mass-stop-id"
    (planted / "1-abcd" / "tenant").mkdir(parents=True)
    os.chown(planted, 65534, 65534)
    journal = inline(Clock())
    info = RunInfo("id", "run", "1", 0.0, "", "", None, (), {})
    with pytest.raises(UsageError, match="could put false results there"):
        await merge_left_behind(journal, info, Settings(shared_dir=str(shared)), tmp_path, 1)
    journal.close()
