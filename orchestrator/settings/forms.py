"""The forms of settings. Each parses one kind of value from text, and describes valid values."""

import re
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from msgspec import Struct

from orchestrator.durations import show_duration
from orchestrator.printable import counted
from orchestrator.settings.addresses import ENVIRONMENTS, normal_address, normal_proxy


class Secret:
    """A value that must not be shown. Neither ``repr`` nor ``str`` contains it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"


class Rate(Struct, frozen=True):
    """At most ``calls`` in any ``seconds``."""

    calls: int
    seconds: int


class Threshold(Struct, frozen=True):
    """A number of keys (``count``), or a share of them (``share``, 0 to 1)."""

    count: int | None = None
    share: float | None = None


T = TypeVar("T")


class Form(Struct, Generic[T], frozen=True, eq=False):
    """The text form of one kind of setting. ``read`` parses a text or raises ValueError.

    ``is_value`` accepts valid values from programs that need no parsing.
    """

    metavar: str
    expected: str
    read: Callable[[str], T]
    show: Callable[[T], str] = str
    is_value: Callable[[object], bool] = lambda _: False
    words: Mapping[str, str] = {}
    """The only valid values, each with its meaning. Empty if other values are valid."""


def _matched(pattern: str, text: str) -> re.Match[str]:
    match = re.fullmatch(pattern, text.strip(), re.ASCII)
    if match is None:
        raise ValueError(text)
    return match


def _whole(text: str, least: int = 1, most: int = 10**9) -> int:
    value = int(_matched(r"\d{1,10}", text)[0])
    if not least <= value <= most:
        raise ValueError(text)
    return value


_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PER = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "hour": 3600}


def _duration(text: str) -> float:
    if re.fullmatch(r"\d+(\.\d+)?", text.strip(), re.ASCII):
        text = text.strip() + "s"
    _matched(r"(\d+(\.\d+)?(ms|s|m|h))+", text)
    seconds = sum(
        float(number) * _UNITS[unit]
        for number, unit in re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text, re.ASCII)
    )
    if not 0 < seconds <= 30 * 86_400:
        raise ValueError(text)
    return seconds


def _percent(text: str) -> float:
    value = float(_matched(r"(\d{1,2}(\.\d+)?) ?%?", text)[1])
    if value > 95:
        raise ValueError(text)
    return value


def _rate(text: str) -> Rate:
    match = _matched(r"(\d{1,9})(?: ?/ ?(s|sec|m|min|h|hour))?", text)
    return Rate(_whole(match[1]), _PER[match[2] or "min"])


def _show_rate(rate: Rate) -> str:
    return f"{counted(rate.calls, 'call')} in {show_duration(rate.seconds)}"


def _is_rate(value: object) -> bool:
    match value:
        case Rate(calls=int(calls), seconds=int(seconds)):
            return calls > 0 and seconds > 0
    return False


def _threshold(text: str) -> Threshold:
    if text.strip().endswith("%"):
        share = float(_matched(r"(\d{1,3}(\.\d+)?) ?%", text)[1]) / 100
        if not 0 < share <= 1:
            raise ValueError(text)
        return Threshold(share=share)
    return Threshold(count=_whole(text))


def _show_threshold(threshold: Threshold) -> str:
    if threshold.count is not None:
        return counted(threshold.count, "key")
    return f"{(threshold.share or 0) * 100:g}% of the keys"


def _is_threshold(value: object) -> bool:
    match value:
        case Threshold(count=int(count), share=None):
            return count > 0
        case Threshold(count=None, share=float(share)):
            return 0 < share <= 1
    return False


def _header_text(limit: int) -> Callable[[str], str]:
    def read(text: str) -> str:
        return _matched(rf"[!#-&(-9<-~ ]{{1,{limit}}}", text)[0]  # printable ASCII without : ; " '

    return read


def _organisations(text: str) -> tuple[str, ...]:
    return tuple(_matched(r"[!-&(-+\--9<-~]{1,64}", part)[0] for part in text.split(","))


def _choice(metavar: str, expected: str, words: Mapping[str, str]) -> Form[str]:
    def read(text: str) -> str:
        word = text.strip().lower()
        if word not in words:
            raise ValueError(text)
        return word

    return Form(metavar, expected, read, words=words)


_BOOLEANS = dict.fromkeys(("1", "true", "yes", "on"), True) | dict.fromkeys(
    ("0", "false", "no", "off"), False
)


def _boolean(text: str) -> bool:
    return _BOOLEANS[text.strip().lower()]


def _nonempty(text: str) -> str:
    if not text.strip() or "\0" in text:
        raise ValueError(text)
    return text


TEXT = Form("TEXT", "some text", _nonempty)
PATH = Form("PATH", "a path", _nonempty)
FOLDER = Form("PATH", "a path", _nonempty)
NUMBER = Form("N", "a whole number from 1 on", _whole)
SLOTS = Form("N", "a whole number from 1 to 1000", lambda text: _whole(text, 1, 1000))
HEDGE = Form(
    "DURATION|off",
    "a duration such as 500ms or 2s, or off",
    lambda text: 0.0 if text.strip().lower() == "off" else _duration(text),
    lambda seconds: show_duration(seconds) if seconds else "off",
)
DURATION = Form("DURATION", "a duration such as 30s, 10m, 1h30m or 500ms", _duration, show_duration)
PERCENT = Form("PERCENT", "a percentage from 0 to 95", _percent, lambda value: f"{value:g}")
RATE = Form("N/min", "calls and a unit, such as 600/min, 10/s or 5000/h", _rate, _show_rate, _is_rate)
THRESHOLD = Form(
    "N|PERCENT",
    "a number of keys such as 10, or a share such as 5%",
    _threshold,
    _show_threshold,
    _is_threshold,
)
FLAG = Form("BOOL", "true or false", _boolean, lambda value: str(value).lower())
ENVIRONMENT = _choice("NAME", "one of " + ", ".join(ENVIRONMENTS), ENVIRONMENTS)
ADDRESS = Form(
    "URL", "an https:// address (http:// only for this machine's own loopback address)", normal_address
)
PROXY = Form("URL", "the http:// or https:// address of a proxy (SOCKS is not supported)", normal_proxy)
PREFIX = Form("TEXT", "at most 24 printable ASCII characters without : ; \" and '", _header_text(24))
HEADER = Form("TEXT", "at most 64 printable ASCII characters without : ; \" and '", _header_text(64))
ORGANISATIONS = Form("ID[,ID...]", "organisation ids with commas between", _organisations, ",".join)
ENGINE = _choice(
    "local|dask", "local or dask", {"local": "in this process", "dask": "by the workers of a dask cluster"}
)
LOG_FORMAT = _choice(
    "auto|console|json",
    "auto, console or json",
    {"auto": "for people on a terminal, JSON lines elsewhere", "console": "for people", "json": "JSON lines"},
)
LOG_LEVEL = _choice(
    "LEVEL",
    "debug, info, warning or error",
    {"debug": "each call", "info": "what happens", "warning": "what needs a person", "error": "what failed"},
)
