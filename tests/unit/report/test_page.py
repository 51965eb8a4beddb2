"""The capabilities of a screen, and text on it."""

import io
import os
import pty
from collections.abc import Iterator
from typing import TextIO

import pytest

from orchestrator.cli.page import Capabilities, Page, capabilities_of
from orchestrator.durations import duration

UTF8 = {"TERM": "xterm", "LANG": "en_US.UTF-8"}


@pytest.fixture
def screen() -> Iterator[TextIO]:
    """A terminal without a size of its own."""
    leader, follower = pty.openpty()
    with os.fdopen(follower, "w") as stream:
        yield stream
    os.close(leader)


def test_a_pipe_gets_whole_lines_without_colour():
    assert capabilities_of(io.StringIO(), UTF8) == Capabilities(
        width=None, colour=False, unicode=True, animated=False
    )


def test_a_terminal_gets_colour_and_width(screen: TextIO):
    assert capabilities_of(screen, UTF8) == Capabilities(width=80, colour=True, unicode=True, animated=True)


def test_no_color_takes_the_colour_only(screen: TextIO):
    capabilities = capabilities_of(screen, UTF8 | {"NO_COLOR": "1"})
    assert (capabilities.colour, capabilities.animated) == (False, True)


@pytest.mark.parametrize("term", ["dumb", "", "unknown"])
def test_a_dumb_terminal_gets_neither_colour_nor_rewritten_lines(screen: TextIO, term: str):
    capabilities = capabilities_of(screen, UTF8 | {"TERM": term})
    assert (capabilities.colour, capabilities.animated) == (False, False)


@pytest.mark.parametrize(
    ("environment", "unicode"),
    [
        ({"LANG": "C"}, False),
        ({}, False),
        ({"LANG": "C.UTF-8"}, True),
        ({"LANG": "de_DE.utf8"}, True),
        ({"LANG": "en_US.ISO-8859-1"}, False),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "C"}, False),
        ({"LANG": "C", "LC_CTYPE": "en_US.UTF-8"}, True),
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, False),
    ],
)
def test_unicode_is_used_only_on_a_unicode_terminal(
    screen: TextIO, environment: dict[str, str], unicode: bool
):
    assert capabilities_of(screen, environment).unicode is unicode


@pytest.mark.parametrize(("columns", "width"), [("40", 40), ("5", 20), ("0", 80), ("wide", 80), ("-3", 80)])
def test_the_width_is_the_value_of_columns_if_valid(screen: TextIO, columns: str, width: int):
    assert capabilities_of(screen, UTF8 | {"COLUMNS": columns}).width == width


def test_without_unicode_other_letters_are_spelled_out():
    assert Capabilities(unicode=False).plain("Zoë\u2028\x1b[2J") == "Zo\\xeb\\u2028\\x1b[2J"


def test_a_title_has_its_own_line_if_the_text_does_not_fit_beside_it():
    page = Page(Capabilities(width=40))
    page.entry("limits", "a sentence that is longer than what is left of the line")
    assert page.lines[0] == "  limits"
    assert all(line.startswith("    ") and len(line) < 40 for line in page.lines[1:])


def test_wrapped_lines_are_aligned_under_the_text():
    page = Page(Capabilities(width=80))
    page.entry("limits", "word " * 30)
    assert page.lines[0].startswith("  limits         word")
    assert all(line.startswith(" " * 17 + "word") for line in page.lines[1:])


def test_a_command_is_never_broken():
    page = Page(Capabilities(width=20))
    page.command("mass-stop resume runs/20261124-034914-940a1b")
    assert page.lines == ["      mass-stop resume runs/20261124-034914-940a1b"]


@pytest.mark.parametrize(("unicode", "cut"), [(True, "x" * 18 + "…"), (False, "x" * 16 + "...")])
def test_an_item_of_a_list_is_cut_at_the_edge_and_says_so(unicode, cut):
    page = Page(Capabilities(width=20, unicode=unicode))
    page.item("x" * 50)
    page.item("x" * 19)
    assert page.lines == [cut, "x" * 19]


def test_an_empty_line_is_empty():
    page = Page(Capabilities(width=20, colour=True))
    page.line()
    assert page.lines == [""]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"), (0.04, "0s"), (0.44, "0.4s"), (9.94, "9.9s"), (9.96, "10s"), (59.4, "59s"), (59.6, "1m00s"),
        (250, "4m10s"), (3_599.9, "1h00m"), (7_500, "2h05m"), (86_399.9, "1d00h"), (273_600, "3d04h"),
    ],
)  # fmt: skip
def test_a_duration_is_shown_with_useful_precision(seconds: float, text: str):
    assert duration(seconds) == text
