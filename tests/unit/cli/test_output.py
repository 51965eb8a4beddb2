"""Failures of standard output: a reader that closes it differs from a full disk."""

import os
from collections.abc import Iterator

import pytest

from orchestrator.cli import output
from orchestrator.errors import StorageError


@pytest.fixture(params=["terminal", "pipe"])
def gone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Standard output without a reader."""
    reader, writer = os.openpty() if request.param == "terminal" else os.pipe()
    os.close(reader)
    monkeypatch.setattr(output, "STANDARD_OUTPUT", writer)
    yield
    os.close(writer)


@pytest.mark.usefixtures("gone")
def test_a_reader_or_a_terminal_that_went_away_is_no_failure_of_this_machine():
    with pytest.raises(ConnectionError):
        output.put_out(b"report")


@pytest.mark.usefixtures("gone")
def test_a_reader_that_closes_early_gets_no_error():
    output.print_out("script")


def test_a_full_disk_is_reported(monkeypatch: pytest.MonkeyPatch):
    full = os.open("/dev/full", os.O_WRONLY)
    monkeypatch.setattr(output, "STANDARD_OUTPUT", full)
    with pytest.raises(StorageError, match="standard output: No space left on device"):
        output.print_out("script")
    os.close(full)
