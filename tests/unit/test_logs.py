"""Logs: one JSON line for each event in the file, one readable line on the screen, and no log error ends a run."""

import io
import json
import logging
import os
import stat
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.clock import Clock
from orchestrator.logs import LEVELS, Screen, Sink, make_log, readable

CLOCK = Clock(lambda: 0.0, wall=1_795_000_000.0)


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "run.log"


@pytest.fixture
def sink(path):
    sink = Sink(path, None)
    yield sink
    sink.close()


def test_an_event_is_one_line_with_its_time_level_and_run(sink, path):
    make_log(sink, CLOCK, "run-1").info("stop.failed", kind="locked")
    sink.flush()
    assert lines(path) == [
        {
            "at": "2026-11-18T11:06:40.000Z",
            "level": "info",
            "event": "stop.failed",
            "run": "run-1",
            "kind": "locked",
        }
    ]


def test_the_file_takes_every_level(sink, path):
    log = make_log(sink, CLOCK, "run-1")
    for level in LEVELS:
        getattr(log, level)("an.event")
    sink.flush()
    assert [line["level"] for line in lines(path)] == list(LEVELS)


def test_bound_fields_are_in_every_event(sink, path):
    make_log(sink, CLOCK, "run-1").bind(bulk_key="k").debug("an.event")
    sink.flush()
    assert lines(path)[0]["bulk_key"] == "k"


def test_values_that_json_cannot_express_are_text(sink, path):
    make_log(sink, CLOCK, "run-1").info("an.event", problem=ValueError("why"))
    sink.flush()
    assert lines(path)[0]["problem"] == "why"


def test_a_line_break_in_a_field_makes_no_second_line(sink, path):
    make_log(sink, CLOCK, "run-1").info("an.event", message="one\ntwo\r\n")
    sink.flush()
    assert len(path.read_bytes().splitlines()) == 1


def test_only_the_owner_can_read_the_log(sink, path):
    sink.flush()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_second_session_continues_the_same_file(path):
    for run in ("first", "second"):
        sink = Sink(path, None)
        make_log(sink, CLOCK, run).info("run.started")
        sink.close()
    assert [line["run"] for line in lines(path)] == ["first", "second"]


def test_a_log_that_cannot_be_opened_is_reported_and_changes_nothing_else(tmp_path):
    sink = Sink(tmp_path / "missing" / "run.log", None)
    make_log(sink, CLOCK, "run-1").info("an.event")
    assert "run.log" in (sink.trouble or "")


def test_a_log_is_not_written_through_a_symbolic_link(tmp_path, path):
    path.symlink_to(tmp_path / "elsewhere")
    assert Sink(path, None).trouble is not None
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_reported_and_the_event_is_dropped():
    sink = Sink(Path("/dev/full"), None)
    make_log(sink, CLOCK, "run-1").info("an.event")
    make_log(sink, CLOCK, "run-1").info("another.event")
    sink.flush()
    assert "can no longer be written" in (sink.trouble or "")


def shown(level: str, json: bool, event: str = "an.event", **fields: object) -> str:
    stream = io.StringIO()
    log = make_log(Sink(None, Screen(stream, "info", json)), CLOCK, "run-1")
    getattr(log, level)(event, **fields)
    return stream.getvalue()


def test_the_screen_takes_its_level_and_above():
    assert [bool(shown(level, False)) for level in LEVELS] == [False, True, True, True]


def test_the_screen_shows_an_event_for_a_person_to_read():
    assert (
        shown("warning", False, "tenant.throttled", seconds=2)
        == "11:06:40 warning  tenant.throttled  seconds=2\n"
    )


def test_the_screen_shows_an_event_as_json_on_request():
    assert json.loads(shown("warning", True, seconds=2))["seconds"] == 2


@pytest.mark.parametrize("text", ["\x1b[2J", "\r", "\n", "\x07", "\x9b", "\u202e", "\u2028", "\x00"])
def test_no_control_character_reaches_the_terminal(text):
    assert text not in shown("error", False, message=text).rstrip("\n")


@given(st.text())
def test_every_event_is_one_printable_line(text):
    assert readable({"event": "an.event", "message": text}).isprintable()


@pytest.mark.parametrize("text", ["\x7f", "\x85", "\x9b31m", "\u202e", "\u2028", "\u200b"])
def test_no_control_character_reaches_the_terminal_in_json(text):
    line = shown("error", True, message=f"é{text}")
    assert text not in line.rstrip("\n")
    assert json.loads(line)["message"] == f"é{text}"


def test_a_closed_screen_loses_only_its_lines(path):
    stream = io.StringIO()
    sink = Sink(path, Screen(stream, "info", False))
    stream.close()
    make_log(sink, CLOCK, "run-1").info("an.event")
    sink.close()
    assert len(lines(path)) == 1


def test_a_screen_without_a_reader_loses_only_its_lines(path):
    reading, writing = os.pipe()
    os.close(reading)
    stream = os.fdopen(writing, "w", buffering=1)
    sink = Sink(path, Screen(stream, "info", False))
    make_log(sink, CLOCK, "run-1").info("an.event")
    sink.close()
    with pytest.raises(BrokenPipeError):
        stream.close()
    assert len(lines(path)) == 1


def test_a_screen_that_cannot_encode_a_character_loses_only_its_line(path):
    stream = io.TextIOWrapper(io.BytesIO(), "ascii")
    sink = Sink(path, Screen(stream, "info", False))
    make_log(sink, CLOCK, "run-1").info("an.event", message="“quoted”")
    sink.close()
    assert lines(path)[0]["message"] == "“quoted”"


def test_the_screen_uses_another_stream_while_asked_to():
    usual, other = io.StringIO(), io.StringIO()
    screen = Screen(usual, "info", False)
    with screen.through(other):
        screen.show({"event": "during"})
    screen.show({"event": "after"})
    assert ("during" in other.getvalue(), "after" in usual.getvalue()) == (True, True)


def test_half_a_character_is_logged(sink, path):
    """A key given by a program, or a path, may hold what UTF-8 cannot say."""
    make_log(sink, CLOCK, "run-1").info("an.event", message="half \ud800 a character")
    sink.flush()
    assert len(lines(path)) == 1


def test_creating_a_log_keeps_the_configuration_of_the_calling_program(sink):
    before = structlog.get_config()
    make_log(sink, CLOCK, "run-1").info("an.event")
    assert (structlog.get_config(), logging.getLogger().handlers) == (before, logging.getLogger().handlers)


def test_the_command_does_not_import_rich_for_its_logs():
    code = (
        "import sys, orchestrator.cli, orchestrator.logs; "
        "print(any(name.partition('.')[0] == 'rich' for name in sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"


def test_imported_modules_of_rich_are_restored():
    code = (
        "import rich.console; kept = rich.console; import orchestrator.logs, sys; "
        "print(sys.modules['rich.console'] is kept)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "True\n"


def test_a_line_is_what_msgspec_reads_back(sink, path):
    make_log(sink, CLOCK, "run-1").info("an.event", number=1.5, none=None, several=[1, 2])
    sink.flush()
    assert msgspec.json.decode(path.read_bytes())["several"] == [1, 2]
