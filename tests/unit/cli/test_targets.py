"""Where a run may write: no other user has prepared the place."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli import targets
from orchestrator.cli.report_output import copy_report
from orchestrator.errors import UsageError
from orchestrator.settings import Settings


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that only this user can change."""
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o700)


def give_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes another user the owner of ``path``: root changes the file, any other user changes their number."""
    if os.geteuid() == 0:
        os.chown(path, 65534, 65534, follow_symlinks=False)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 65534)


@pytest.mark.parametrize(
    ("report", "named"),
    [("folder", "folder is a directory"), ("keys.csv/x", "keys.csv is a file"), ("x" * 300, "too long")],
)
def test_a_place_where_no_report_can_be_written_is_refused_at_once(report: str, named: str) -> None:
    Path("folder").mkdir()
    Path("keys.csv").touch()
    with pytest.raises(UsageError, match=named):
        targets.refuse_report_target(report)


def test_a_folder_without_write_access_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    with pytest.raises(UsageError, match="may write nothing"):
        targets.refuse_report_target(str(tmp_path / "report.json"))


@pytest.mark.parametrize("report", ["run/journal.db", "new/journal.db-wal", "run/run.log", "link"])
def test_a_report_does_not_take_the_place_of_a_journal_or_log(report: str) -> None:
    Path("run").mkdir()
    Path("run/journal.db").touch()
    Path("link").symlink_to("run/journal.db")
    with pytest.raises(UsageError, match=f"{report} is the name of a run's journal or log"):
        targets.refuse_report_target(report)


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({"report": "../keys.csv"}, "--report"),
        ({"metrics": "link"}, "--metrics"),
        ({"out": "."}, "--out"),
    ],
)
def test_no_file_of_a_run_takes_the_place_of_its_source(
    given: dict[str, Any], option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path / "run")
    Path("../keys.csv").touch()
    Path("needs-person.csv").touch()
    Path("link").symlink_to("../keys.csv")
    sources = ["-", "../keys.csv", "needs-person.csv"]
    with pytest.raises(UsageError, match=f"^{option}: the run would overwrite .*which is its input"):
        targets.keep_sources(sources, Settings(**given))
    targets.keep_sources(sources, Settings(report="report.json", out="new"))
    targets.keep_sources(sources, Settings(report="-"))


@pytest.mark.parametrize(
    "report",
    [
        None,
        "-",
        "report.json",
        "run.log.json",
        "made/on/the/way.json",
        "pipe",
        "/dev/stdout",
        "/dev/null",
        "/dev/fd/1",
    ],
)
def test_a_report_may_go_into_a_new_folder_a_pipe_or_a_device(report: str | None) -> None:
    os.mkfifo("pipe")
    targets.refuse_report_target(report)


def fifo(path: Path) -> None:
    os.mkfifo(path)


def link_to_a_file(path: Path) -> None:
    Path("a-file").touch()
    path.symlink_to("a-file")


def dangling_link(path: Path) -> None:
    path.symlink_to("nothing")


def device(path: Path) -> None:
    os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5))


KINDS = [fifo, link_to_a_file, dangling_link]


@pytest.mark.parametrize("make", KINDS)
def test_a_pipe_or_link_of_another_user_gets_no_report(
    make: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    make(Path("target"))
    give_away(Path("target"), monkeypatch)
    with pytest.raises(UsageError, match=r"^--report: target is a (pipe|link) of .*\. Name another path\.$"):
        targets.refuse_report_target("target")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a device")
def test_a_device_of_another_user_gets_no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        device(Path("target"))
    except PermissionError:
        pytest.skip("this container may not make devices")
    give_away(Path("target"), monkeypatch)
    with pytest.raises(UsageError, match="target is a device"):
        targets.refuse_report_target("target")


@pytest.mark.parametrize("make", KINDS)
def test_a_pipe_or_link_of_this_user_may_get_the_report(make: Callable[[Path], None]) -> None:
    make(Path("target"))
    targets.refuse_report_target("target")


def test_a_link_of_this_user_to_a_pipe_of_another_gets_no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo("theirs")
    Path("mine").symlink_to("theirs")
    if os.geteuid() != 0:
        pytest.skip("only root can give a pipe away and keep the link")
    give_away(Path("theirs"), monkeypatch)
    with pytest.raises(UsageError, match="theirs is a pipe of"):
        targets.refuse_report_target("mine")


def test_a_link_to_itself_gets_no_report() -> None:
    Path("target").symlink_to("target")
    with pytest.raises(UsageError, match="leads to itself"):
        targets.refuse_report_target("target")


def test_a_descriptor_that_another_user_opened_may_get_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under sudo the pipe to the next program belongs to the calling user."""
    read, write = os.pipe()
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert targets.distrust(f"/dev/fd/{write}") is None
    assert targets.distrust(f"/proc/self/fd/{write}") is None
    assert targets.distrust("/dev/stdout") is None
    os.close(read)
    os.close(write)


def test_a_pipe_that_was_planted_during_the_run_gets_no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo("target")
    give_away(Path("target"), monkeypatch)
    with pytest.raises(PermissionError, match="who would receive the report"):
        copy_report("target", lambda write: None)


def warnings_for(out: str | None) -> list[str]:
    sentences: list[str] = []
    targets.refuse_run_directory(out, sentences.append)
    return sentences


@pytest.mark.parametrize("out", ["shared/run", "shared/deeper/run", None])
def test_a_run_directory_that_every_user_could_replace_is_refused(
    out: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("shared").mkdir()
    Path("shared").chmod(0o777)
    if out is None:
        monkeypatch.chdir("shared")
    with pytest.raises(
        UsageError, match=r"^--out: every user of this machine can replace .*chmod \+t .*shared$"
    ):
        warnings_for(out)


@pytest.mark.parametrize("mode", [0o1777, 0o700, 0o755, 0o1775])
def test_a_run_directory_in_a_protected_folder_is_accepted(mode: int) -> None:
    Path("shared").mkdir()
    Path("shared").chmod(mode)
    assert warnings_for("shared/run") == []


def test_a_run_directory_that_its_group_could_replace_is_used_with_a_warning() -> None:
    Path("shared").mkdir()
    Path("shared").chmod(0o775)
    (sentence,) = warnings_for("shared/run")
    assert "can replace the run directory" in sentence


def test_a_run_directory_on_a_file_system_without_modes_is_used_with_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("shared").mkdir()
    Path("shared").chmod(0o777)
    monkeypatch.setattr(targets, "keeps_modes", lambda _: False)
    (sentence,) = warnings_for("shared/run")
    assert "keeps no modes" in sentence


def test_the_test_for_file_modes_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert targets.keeps_modes(tmp_path)
    made = tmp_path / "as-on-vfat"

    def make(**_: object) -> str:
        made.mkdir()
        made.chmod(0o777)
        return str(made)

    monkeypatch.setattr("tempfile.mkdtemp", make)
    assert not targets.keeps_modes(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_working_directory_that_is_gone_is_reported_later(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    assert warnings_for(None) == warnings_for("run") == []
