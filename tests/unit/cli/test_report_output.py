"""A report where the operator wants it."""

import os
import threading
from functools import partial

from orchestrator.cli import output
from orchestrator.cli.report_output import PIECE, copy_report, read_out
from orchestrator.report import Write


def a_report(write: Write) -> None:
    write(b"a report")


def test_a_copy_replaces_a_file_completely_and_makes_its_folders(tmp_path):
    target = tmp_path / "reports" / "today" / "report.json"
    copy_report(str(target), a_report)
    target.write_bytes(b"a longer report of yesterday")
    copy_report(str(target), a_report)
    assert target.read_bytes() == b"a report"


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    copy_report(str(pipe), a_report)
    reader.join()
    assert (read, pipe.is_fifo()) == ([b"a report"], True)


def test_a_hyphen_is_standard_output(tmp_path, monkeypatch):
    with (tmp_path / "out").open("wb") as out:
        monkeypatch.setattr(output, "STANDARD_OUTPUT", out.fileno())
        copy_report("-", a_report)
    assert (tmp_path / "out").read_bytes() == b"a report"


def test_a_report_of_any_length_is_written_completely(tmp_path):
    report, target = tmp_path / "report.json", tmp_path / "copy.json"
    report.write_bytes(os.urandom(PIECE) + b"and more")
    copy_report(str(target), partial(read_out, report))
    assert target.read_bytes() == report.read_bytes()
