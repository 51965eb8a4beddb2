"""Structured logs: dotted event names, data in fields. Each event is a JSON line in ``run.log``.

The screen shows events as text or JSON. The global configuration of structlog is not changed: it belongs to the
calling program.
"""

import contextlib
import json
import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any, TextIO

import msgspec

from orchestrator.background import BackgroundWriter
from orchestrator.clock import Clock
from orchestrator.printable import printable, printable_json

# structlog imports rich if rich is installed, which takes a tenth of the time to the first stop. In the command's own
# process, the import of rich is blocked meanwhile. A calling program may use rich through structlog, and keeps it.
_barred = ("rich", "rich.console", "rich.traceback") if "orchestrator.cli" in sys.modules else ()
_before = {name: sys.modules.get(name) for name in _barred}
sys.modules.update(dict.fromkeys(_barred))  # type: ignore[arg-type]
import structlog  # noqa: E402

for _name, _module in _before.items():
    if _module is None:
        del sys.modules[_name]
    else:
        sys.modules[_name] = _module

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

Event = Mapping[str, Any]

_encoder = msgspec.json.Encoder(enc_hook=str)


class Sink:
    """Writes all events to the file, and those of the screen's ``level`` and above to the screen.

    Events below ``info`` are collected for half a second, or until there are a thousand, and then written. A thread
    writes the file. A full or hanging disk must not delay the run: events that cannot be written are dropped, and
    ``trouble`` is a sentence about it.
    """

    GATHER_EVENTS = 1_000
    GATHER_SECONDS = 0.5
    MOST_WAITING = 1 << 24
    """Bytes that may wait for the disk."""

    def __init__(self, path: Path | None, screen: "Screen | None") -> None:
        self.trouble: str | None = None
        self._screen = screen
        self._events: list[Event] = []
        self._written_at = 0.0
        self._descriptor: int | None = None
        self._writer: BackgroundWriter[bytes] | None = None
        if path is not None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
            try:
                self._descriptor = os.open(path, flags, 0o600)
                self._writer = BackgroundWriter(self._write_file, self.MOST_WAITING, self._fail)
            except OSError as error:
                self._fail(error)

    def __call__(self, level: int, event: Event) -> None:
        if self._writer is not None:
            self._events.append(event)
            late = time.monotonic() - self._written_at >= self.GATHER_SECONDS
            if late or level > logging.DEBUG or len(self._events) >= self.GATHER_EVENTS:
                self._pass_on(self._writer)
        if self._screen is not None and level >= self._screen.level:
            self._screen.show(event)

    def flush(self) -> None:
        """Wait until the file has every event, or until no event was written for some seconds."""
        if self._writer is not None:
            self._pass_on(self._writer)
            taken = self._writer.drain()
            if (self._writer.dropped or not taken) and self.trouble is None:
                self.trouble = "The log run.log lacks events: the disk did not take them in time."

    def close(self) -> None:
        """Write the collected events and close the file."""
        self.flush()
        if self._writer is not None:
            self._writer.close()
        if self._descriptor is not None and self._writer is not None and not self._writer.behind:
            os.close(self._descriptor)
        self._descriptor = self._writer = None

    def _pass_on(self, writer: BackgroundWriter[bytes]) -> None:
        events, self._events = self._events, []
        self._written_at = time.monotonic()
        if events:
            writer.put(_lines(events))

    def _write_file(self, lines: bytes) -> None:
        if self._descriptor is not None:
            os.write(self._descriptor, lines)

    def _fail(self, error: Exception) -> None:
        why = error.strerror if isinstance(error, OSError) else error
        self.trouble = f"The log run.log can no longer be written ({why})."


class Screen:
    """Shows events on standard error, as JSON lines or as text."""

    def __init__(self, stream: TextIO, level: str, json: bool) -> None:
        self.level = LEVELS[level]
        self._stream = stream
        self._json = json
        self._without: Set[str] = frozenset()

    @contextlib.contextmanager
    def through(self, stream: TextIO, without: Set[str] = frozenset()) -> Iterator[None]:
        """Write to ``stream`` while the block runs, without the events named in ``without``."""
        usual, self._stream, self._without = self._stream, stream, without
        try:
            yield
        finally:
            self._stream, self._without = usual, frozenset()

    def show(self, event: Event) -> None:
        if event["event"] in self._without:
            return
        # On screen, a traceback would hide the message. It is in run.log.
        fields = {name: value for name, value in event.items() if name != "traceback"}
        text = _lines([fields]).decode().rstrip() if self._json else readable(fields)
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text + "\n")
            self._stream.flush()


class LoggerScreen(Screen):
    """Passes events to a program's own ``logger``, which has its own level and handlers.

    The message of a log record is the event and its fields. Its attribute ``mass_stop`` has them as a dictionary.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self.level = logging.DEBUG
        self._logger = logger

    def show(self, event: Event) -> None:
        level = LEVELS[event["level"]]
        if self._logger.isEnabledFor(level):
            # An exception in a handler of the program must not end the run.
            with contextlib.suppress(Exception):
                self._logger.log(level, "%s", _fields_of(event), extra={"mass_stop": dict(event)})


def _lines(events: Sequence[Event]) -> bytes:
    try:
        lines = _encoder.encode_lines(events)
    except UnicodeEncodeError:  # a lone surrogate, as in the name of a file that is not UTF-8
        lines = b"".join(json.dumps(event, default=str).encode() + b"\n" for event in events)
    return printable_json(lines)


def readable(event: Event) -> str:
    """Return an event as text, ``12:00:01 warning  tenant.throttled  seconds=2``. Control characters are escaped."""
    return printable(f"{str(event.get('at', ''))[11:19]} {event.get('level', ''):<8} {_fields_of(event)}")


def _fields_of(event: Event) -> str:
    fields = " ".join(
        f"{name}={value}" for name, value in event.items() if name not in ("at", "level", "event", "run")
    )
    return printable(f"{event['event']}  {fields}")


class Log(structlog.BoundLoggerBase):
    """A logger. Each event has its time, its level, the bound fields and its own fields.

    structlog's processors are not used: one function is enough here, and they would take most of an event's time.
    """

    def debug(self, event: str, **fields: Any) -> None:
        self._logger(logging.DEBUG, "debug", event, self._context, fields)

    def info(self, event: str, **fields: Any) -> None:
        self._logger(logging.INFO, "info", event, self._context, fields)

    def warning(self, event: str, **fields: Any) -> None:
        self._logger(logging.WARNING, "warning", event, self._context, fields)

    def error(self, event: str, **fields: Any) -> None:
        self._logger(logging.ERROR, "error", event, self._context, fields)


def make_log(sink: Sink, clock: Clock, run: str) -> Log:
    """Return a logger that writes to ``sink``. Each event has the run's id."""

    def record(level: int, name: str, event: str, bound: Event, fields: Event) -> None:
        sink(level, {"at": clock.stamp(), "level": name, "event": event, **bound, **fields})

    return Log(record, processors=(), context={"run": run})
