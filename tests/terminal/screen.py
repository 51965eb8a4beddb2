"""A terminal's screen with the control sequences that the command uses. It shows the final text."""

import re

_CONTROL = re.compile(r"\x1b\[(\??[\d;]*)([A-Za-z])")


class Screen:
    """Lines of ``columns``, which wrap at the edge, and a cursor. An unknown control sequence fails the test."""

    def __init__(self, columns: int) -> None:
        self._columns = columns
        self._lines: list[list[str]] = [[]]
        self._row = self._column = 0

    def show(self, text: str) -> str:
        """Write ``text`` and return the lines that are visible afterwards."""
        at = 0
        while at < len(text):
            if control := _CONTROL.match(text, at):
                self._obey(control[1], control[2])
                at = control.end()
                continue
            self._put(text[at])
            at += 1
        return "".join("".join(line).rstrip() + "\n" for line in self._lines).rstrip("\n") + "\n"

    def _put(self, char: str) -> None:
        if char == "\r":
            self._column = 0
        elif char == "\n":
            self._down()
        else:
            assert char.isprintable(), f"the terminal was sent {char!r}"
            if self._column == self._columns:
                self._column = 0
                self._down()
            line = self._lines[self._row]
            line.extend(" " * (self._column + 1 - len(line)))
            line[self._column] = char
            self._column += 1

    def _down(self) -> None:
        self._row += 1
        if self._row == len(self._lines):
            self._lines.append([])

    def _obey(self, numbers: str, letter: str) -> None:
        match numbers, letter:
            case _, "m":
                pass
            case ("?25", "h" | "l"):
                pass
            case _, "A":
                self._row = max(0, self._row - int(numbers or 1))
            case "2", "K":
                self._lines[self._row] = []
            case _:
                raise AssertionError(f"the terminal was sent ESC [ {numbers} {letter}")
