"""The capabilities of the screen, and text laid out for it: narrow, without colour, or a file."""

import os
import re
import textwrap
from collections.abc import Iterable, Mapping
from typing import TextIO

from msgspec import Struct

from orchestrator.model import PLAN
from orchestrator.printable import printable

USUAL_WIDTH = 80
NARROW = 60
"""Below so many columns a title gets its own line if its text does not fit beside it."""

TITLE = 13

_STYLES = {"bold": "1", "red": "1;31", "green": "32", "yellow": "33", "alarm": "1;97;41"}


class Capabilities(Struct, frozen=True):
    """The capabilities of a stream.

    ``width`` is in columns, None where lines are kept whole (a file, a pipe). ``animated`` says whether written lines
    can be overwritten.
    """

    width: int | None = None
    colour: bool = False
    unicode: bool = True
    animated: bool = False

    def style(self, text: str, style: str | None) -> str:
        """``text`` in bold or in a colour, where there are any."""
        return f"\033[{_STYLES[style]}m{text}\033[0m" if style and self.colour else text

    def plain(self, text: str) -> str:
        """``text`` of unknown origin as it may be written here: nothing in it is obeyed by a terminal."""
        shown = printable(text)
        return shown if self.unicode else shown.encode("ascii", "backslashreplace").decode()


def capabilities_of(stream: TextIO, environment: Mapping[str, str] = os.environ) -> Capabilities:
    """The capabilities of ``stream``, from its kind and the environment of the terminal."""
    if not stream.isatty():
        return Capabilities()
    dumb = environment.get("TERM", "dumb") in ("", "dumb", "unknown")
    return Capabilities(
        width=_columns(stream, environment),
        colour=not dumb and not environment.get("NO_COLOR"),
        unicode=_speaks_unicode(environment),
        animated=not dumb,
    )


def _columns(stream: TextIO, environment: Mapping[str, str]) -> int:
    value = environment.get("COLUMNS", "")
    if re.fullmatch(r"[1-9]\d{0,3}", value, re.ASCII):
        return max(int(value), 20)
    try:
        return max(os.get_terminal_size(stream.fileno()).columns or USUAL_WIDTH, 20)
    except (OSError, ValueError):
        return USUAL_WIDTH


def _speaks_unicode(environment: Mapping[str, str]) -> bool:
    # In the C locale Python sets LC_CTYPE to C.UTF-8 for itself (PEP 538): that says nothing about the terminal.
    names = ("LC_ALL", "LANG") if environment.get("LC_CTYPE") == "C.UTF-8" else ("LC_ALL", "LC_CTYPE", "LANG")
    value = next((environment[name] for name in names if environment.get(name)), "")
    return "utf8" in value.lower().replace("-", "")


def place(source: str, row: int) -> str:
    """Where a key is in the input. The row numbers of a plan are those of the plan's own input."""
    return f"row {row}" if source.startswith(PLAN) else f"{source}:{row}"


class Page:
    """Lines for a person, put together one after the other.

    A command or a path stays on one line at any width, so that it can be copied.
    """

    def __init__(self, capabilities: Capabilities) -> None:
        self.capabilities = capabilities
        self.lines: list[str] = []

    def __str__(self) -> str:
        return "\n".join(self.lines)

    def line(self, text: str = "", style: str | None = None, indent: int = 0, hang: int = 0) -> None:
        """A sentence; what wraps of it is indented alike, and by ``hang`` columns more."""
        for part in self._wrapped(text, indent, hang) or [""]:
            self.lines.append(self.capabilities.style(" " * indent + part if part else "", style))

    def step(self, text: str) -> None:
        """One thing to be done."""
        first, *rest = self._wrapped(text, 2) or [""]
        self.lines += [f"- {first}", *(f"  {part}" for part in rest)]

    def entry(self, title: str, text: str, style: str | None = None, *, whole: bool = False) -> None:
        """``title`` and beside it ``text``; without a title it continues the entry above. ``whole`` never wraps."""
        title, indent = self.capabilities.plain(title), TITLE + 4
        if whole:
            parts = [self.capabilities.plain(text)]
        else:
            parts = self._wrapped(text, indent)
            if self.narrow and len(parts) > 1:
                indent = 4
                parts = self._wrapped(text, indent)
                if title:
                    self.lines.append(f"  {title}")
                    title = ""
        for part in parts or [""]:
            beside = f"  {title:<{TITLE}}  " if indent > 4 else " " * indent
            self.lines.append(beside + self.capabilities.style(part, style))
            title = ""

    def entries(self, title: str, texts: Iterable[str], style: str | None = None) -> None:
        """The first of ``texts`` beside ``title``, and the others below it."""
        for text in texts:
            self.entry(title, text, style)
            title = ""

    def item(self, text: str) -> None:
        """A line that is cut where the screen ends: one of a list."""
        shown, width = self.capabilities.plain(text), self.capabilities.width
        if width is not None and len(shown) >= width:
            mark = (
                "…" if self.capabilities.unicode else "..."
            )  # without it, half a value reads as a whole one
            shown = shown[: max(0, width - 1 - len(mark))].rstrip() + mark
        self.lines.append(shown)

    def command(self, text: str) -> None:
        """A command on a line of its own, whole."""
        self.lines.append(self.capabilities.style(f"      {self.capabilities.plain(text)}", "bold"))

    @property
    def narrow(self) -> bool:
        """Whether two columns of text do not fit side by side."""
        return self.capabilities.width is not None and self.capabilities.width < NARROW

    def _wrapped(self, text: str, indent: int, hang: int = 0) -> list[str]:
        shown = self.capabilities.plain(text)
        if self.capabilities.width is None:
            return [shown]
        room = max(self.capabilities.width - 1 - indent, 12)
        return textwrap.wrap(
            shown, room, subsequent_indent=" " * hang, break_long_words=False, break_on_hyphens=False
        )
