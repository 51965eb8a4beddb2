"""What a run is told: one frozen object, put together from options, environment, configuration file and defaults.

Each setting is declared once, in :class:`Settings`: its type's :class:`Form` reads it from text and says what would be
right, its :class:`About` gives the help. The command's options, the environment's names and ``config/mass-stop.toml``
all follow from that declaration.
"""

import difflib
import ipaddress
import os
import re
import stat
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar, get_type_hints
from urllib.parse import urlsplit

from msgspec import Struct

from orchestrator.errors import SettingError, UsageError

ENVIRONMENTS = {
    "us1-prod": "https://rest.na.zuora.com",
    "us2-prod": "https://rest.zuora.com",
    "eu-prod": "https://rest.eu.zuora.com",
    "ap-prod": "https://rest.ap.zuora.com",
    "us-test": "https://rest.test.zuora.com",
    "eu-test": "https://rest.test.eu.zuora.com",
    "ap-test": "https://rest.test.ap.zuora.com",
    "us1-sandbox": "https://rest.sandbox.na.zuora.com",
    "us2-sandbox": "https://rest.apisandbox.zuora.com",
    "eu-sandbox": "https://rest.sandbox.eu.zuora.com",
}
"""Zuora's data centres by name (Zuora API reference, "Access endpoint URLs")."""


class Secret:
    """A value that must not be shown: neither ``repr`` nor ``str`` gives it away."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"


class Rate(Struct, frozen=True):
    """At most ``calls`` in ``seconds``."""

    calls: int
    seconds: int


class Threshold(Struct, frozen=True):
    """So many keys (``count``), or this share of them (``share``, 0 to 1)."""

    count: int | None = None
    share: float | None = None


T = TypeVar("T")


@dataclass(frozen=True)
class Form(Generic[T]):
    """How one kind of setting is written: ``read`` turns text into a value or raises ValueError."""

    metavar: str
    expected: str
    read: Callable[[str], T]
    show: Callable[[T], str] = str


@dataclass(frozen=True)
class About:
    """What a person is told of a setting. ``variable`` is its environment name where that is not the usual one."""

    help: str
    variable: str | None = None
    flag: bool = False
    repeatable: bool = False


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


def show_duration(seconds: float) -> str:
    """Seconds as a person writes them: ``90`` is ``1m30s``."""
    if seconds < 1:
        return f"{seconds * 1000:g}ms"
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    parts = [(hours, "h"), (minutes, "m"), (rest, "s")]
    return "".join(f"{value:g}{unit}" for value, unit in parts if value) or "0s"


def _percent(text: str) -> float:
    value = float(_matched(r"(\d{1,2}(\.\d+)?) ?%?", text)[1])
    if value > 95:
        raise ValueError(text)
    return value


def _rate(text: str) -> Rate:
    match = _matched(r"(\d{1,9})(?: ?/ ?(s|sec|m|min|h|hour))?", text)
    return Rate(_whole(match[1]), _PER[match[2] or "min"])


def _threshold(text: str) -> Threshold:
    if text.strip().endswith("%"):
        share = float(_matched(r"(\d{1,3}(\.\d+)?) ?%", text)[1]) / 100
        if not 0 < share <= 1:
            raise ValueError(text)
        return Threshold(share=share)
    return Threshold(count=_whole(text))


def _header_text(limit: int) -> Callable[[str], str]:
    def read(text: str) -> str:
        return _matched(rf"[!#-&(-9<-~ ]{{1,{limit}}}", text)[0]  # printable ASCII without : ; " '

    return read


def _organisations(text: str) -> tuple[str, ...]:
    return tuple(_matched(r"[!-&(-+\--9<-~]{1,64}", part)[0] for part in text.split(","))


def is_loopback(host: str | None) -> bool:
    """Whether ``host`` names this machine, so that plain HTTP stays on it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def _address(text: str) -> str:
    # Even an empty query, fragment or user would move what is put behind the address. urlsplit drops line breaks.
    parts = urlsplit(_matched(r"[!-~]+", text)[0])
    secure = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname))
    if not secure or not parts.hostname or parts.port == 0 or any(sign in text for sign in "@?#\\"):
        raise ValueError(text)
    return text.strip().rstrip("/")


def _one_of(*names: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text.strip().lower() not in names:
            raise ValueError(text)
        return text.strip().lower()

    return read


def _boolean(text: str) -> bool:
    return {
        "1": True,
        "true": True,
        "yes": True,
        "on": True,
        "0": False,
        "false": False,
        "no": False,
        "off": False,
    }[text.strip().lower()]


def _nonempty(text: str) -> str:
    if not text.strip():
        raise ValueError(text)
    return text


TEXT = Form("TEXT", "some text", _nonempty)
PATH = Form("PATH", "a path", _nonempty)
NUMBER = Form("N", "a whole number from 1 on", _whole)
SLOTS = Form("N", "a whole number from 1 to 1000", lambda text: _whole(text, 1, 1000))
DURATION = Form("DURATION", "a duration such as 30s, 10m, 1h30m or 500ms", _duration, show_duration)
PERCENT = Form("PERCENT", "a percentage from 0 to 95", _percent, lambda value: f"{value:g}")
RATE = Form("N/min", "calls and a unit, such as 600/min, 10/s or 5000/h", _rate)
THRESHOLD = Form("N|PERCENT", "a number of keys such as 10, or a share such as 5%", _threshold)
FLAG = Form("BOOL", "true or false", _boolean, lambda value: str(value).lower())
ENVIRONMENT = Form("NAME", "one of " + ", ".join(ENVIRONMENTS), _one_of(*ENVIRONMENTS))
ADDRESS = Form("URL", "an https:// address (http:// only for this machine's own loopback address)", _address)
PREFIX = Form("TEXT", "at most 24 printable ASCII characters without : ; \" and '", _header_text(24))
HEADER = Form("TEXT", "at most 64 printable ASCII characters without : ; \" and '", _header_text(64))
ORGANISATIONS = Form("ID[,ID…]", "organisation ids with commas between", _organisations, ",".join)
LOG_FORMAT = Form("auto|console|json", "auto, console or json", _one_of("auto", "console", "json"))
LOG_LEVEL = Form("LEVEL", "debug, info, warning or error", _one_of("debug", "info", "warning", "error"))


class Settings(Struct, frozen=True, kw_only=True):
    """Everything a run is told. Durations are seconds, ``headroom`` is a percentage."""

    env: Annotated[str | None, ENVIRONMENT, About("the tenant, by the name of its data centre")] = None
    base_url: Annotated[
        str | None, ADDRESS, About("the tenant, by its address", variable="ZUORA_BASE_URL")
    ] = None
    client_id: Annotated[str | None, TEXT, About("OAuth client id", variable="ZUORA_CLIENT_ID")] = None
    client_secret_file: Annotated[
        str | None, PATH, About("file (mode 0600) that holds the OAuth client secret")
    ] = None
    token_file: Annotated[str | None, PATH, About("file (mode 0600) that holds a ready bearer token")] = None
    entity_id: Annotated[str | None, HEADER, About("entity, where Multi-entity is on (Zuora-Entity-Ids)")] = (
        None
    )
    org_ids: Annotated[
        tuple[str, ...], ORGANISATIONS, About("organisations, where Multi-Org is on (Zuora-Org-Ids)")
    ] = ()
    zuora_version: Annotated[str | None, HEADER, About("minor version of the API (Zuora-Version)")] = None
    track_prefix: Annotated[str, PREFIX, About("what each call's Zuora-Track-Id starts with")] = "mass-stop"
    column: Annotated[str | None, TEXT, About("the key's column: its name, or its number from 1")] = None
    order: Annotated[
        str | None, TEXT, About("numeric column, by which the larger is stopped first (default: input order)")
    ] = None
    plan: Annotated[
        str | None, PATH, About("run directory of an earlier plan, for keys and order: the fastest first")
    ] = None
    strict: Annotated[bool, FLAG, About("refuse the whole input for one malformed row", flag=True)] = False
    expect_action_type: Annotated[
        tuple[str, ...], TEXT, About("leave alone actions of any other type", repeatable=True)
    ] = ()
    expect_uploaded_by: Annotated[
        tuple[str, ...], TEXT, About("leave alone actions uploaded by anybody else", repeatable=True)
    ] = ()
    concurrency: Annotated[
        int | None, SLOTS, About("most calls in flight (default: what the tenant allows, less headroom)")
    ] = None
    headroom: Annotated[
        float, PERCENT, About("share of the tenant's concurrency and rate left to others")
    ] = 10.0
    rate: Annotated[
        Rate | None, RATE, About("most calls a minute; /s and /h too (default: what the tenant allows)")
    ] = None
    max_attempts: Annotated[int, NUMBER, About("tries for one call")] = 8
    timeout: Annotated[float, DURATION, About("longest wait for one call")] = 30.0
    deadline: Annotated[
        float | None, DURATION, About("longest the run may take: no call starts after it (default: none)")
    ] = None
    settle: Annotated[
        float, DURATION, About("how long an accepted stop is followed before it is unconfirmed")
    ] = 600.0
    max_failures: Annotated[
        Threshold | None, THRESHOLD, About("stop sending once so many keys were refused or unreachable")
    ] = None
    no_results: Annotated[bool, FLAG, About("stop and confirm only: no response files", flag=True)] = False
    save_responses: Annotated[bool, FLAG, About("keep each response file under responses/", flag=True)] = (
        False
    )
    out: Annotated[str | None, PATH, About("the run directory (default: runs/RUN_ID)")] = None
    report: Annotated[str | None, PATH, About("another copy of the report; - is standard output")] = None
    yes: Annotated[bool, FLAG, About("stop without asking", flag=True)] = False
    log_format: Annotated[str, LOG_FORMAT, About("form of the log on standard error")] = "auto"
    log_level: Annotated[str, LOG_LEVEL, About("least level of the log on standard error")] = "info"
    quiet: Annotated[bool, FLAG, About("errors only on standard error", flag=True)] = False
    no_progress: Annotated[bool, FLAG, About("no progress display", flag=True)] = False
    client_secret: Secret | None = None
    token: Secret | None = None

    @property
    def address(self) -> str:
        """The tenant's base URL."""
        if self.base_url is None:
            raise UsageError(
                "No tenant is named: give --env NAME or --base-url URL, or set ZUORA_BASE_URL "
                "(mass-stop drill needs none of them)."
            )
        return self.base_url


_HIDDEN = re.compile(r"//.*@", re.DOTALL)  # a password in an address is a secret


@dataclass(frozen=True)
class Setting:
    """One setting as declared in :class:`Settings`."""

    name: str
    form: Form[Any]
    about: About
    default: Any

    @property
    def option(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return self.about.variable or "MASS_STOP_" + self.name.upper()

    def read(self, value: object, origin: str) -> Any:
        """The value of ``value`` (text, or what TOML made of it), or a :class:`SettingError` naming ``origin``."""
        if self.about.repeatable:
            items = value if isinstance(value, (list, tuple)) else re.split(r"\s*,\s*", str(value).strip())
            return tuple(self._read_one(item, origin) for item in items)
        return self._read_one(value, origin)

    def _read_one(self, value: object, origin: str) -> Any:
        text = ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
        try:
            return self.form.read(text)
        except (ValueError, KeyError, OverflowError):
            shown = _HIDDEN.sub("//…@", value) if isinstance(value, str) else value
            raise SettingError(self.name.replace("_", "-"), shown, origin, self.form.expected) from None


def _declared() -> Iterator[Setting]:
    defaults = dict(zip(Settings.__struct_fields__, Settings.__struct_defaults__, strict=True))
    for name, hint in get_type_hints(Settings, include_extras=True).items():
        match getattr(hint, "__metadata__", ()):
            case (Form() as form, About() as about):
                yield Setting(name, form, about, defaults[name])


SETTINGS: dict[str, Setting] = {setting.name: setting for setting in _declared()}

# Where a name and an address disagree, the nearer to the operator wins; what it overrides must then not linger.
_RIVALS = {
    "env": "base_url",
    "base_url": "env",
    "token": "token_file",
    "token_file": "token",
    "client_secret": "client_secret_file",
    "client_secret_file": "client_secret",
}


def resolve(
    options: Mapping[str, object],
    environment: Mapping[str, str] = os.environ,
    config: str | None = None,
    earlier: Mapping[str, object] | None = None,
) -> Settings:
    """Settings out of options, then environment, then the file ``config``, then ``earlier`` (a run being resumed).

    Raises:
        SettingError: a value cannot be used; the message names it, its origin and what would be right.
        UsageError: the file cannot be read, a secret is missing, or two settings contradict each other.
    """
    layers = [
        _from_options(options),
        _from_environment(environment),
        _from_file(config),
        dict(earlier or {}),
    ]
    values: dict[str, Any] = {}
    for layer in layers:
        fresh = {name: value for name, value in layer.items() if name not in values}
        values |= {name: value for name, value in fresh.items() if _RIVALS.get(name) not in values}
    if "env" in values:
        named = ENVIRONMENTS[values["env"]]
        if values.get("base_url", named) != named:
            raise UsageError(
                f"--env {values['env']} and the base URL {values['base_url']} name different tenants."
            )
        values["base_url"] = named
    if values.get("no_results") and values.get("save_responses"):
        raise UsageError(
            "--no-results fetches no response files and --save-responses keeps them: leave one out."
        )
    if secret_file := values.get("client_secret_file"):
        values.setdefault("client_secret", _secret_in(secret_file, "--client-secret-file"))
    if token_file := values.get("token_file"):
        values["token"] = _secret_in(token_file, "--token-file")
    return Settings(**values)


def _from_options(options: Mapping[str, object]) -> dict[str, Any]:
    return {
        name: SETTINGS[name].read(value, SETTINGS[name].option)
        for name, value in options.items()
        if value is not None and value != ()
    }


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    values = {
        name: setting.read(environment[setting.variable], setting.variable)
        for name, setting in SETTINGS.items()
        if environment.get(setting.variable)
    }
    for name, variable in (("client_secret", "ZUORA_CLIENT_SECRET"), ("token", "ZUORA_TOKEN")):
        if text := environment.get(variable, "").strip():
            values[name] = _checked_secret(text, variable)
    return values


def _from_file(config: str | None) -> dict[str, Any]:
    path = Path(config or "mass-stop.toml")
    if config is None and not path.is_file():
        return {}
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"The configuration file {path} cannot be read: {reason}.") from None
    values = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        if name in ("client_secret", "token"):
            raise UsageError(
                f"{path} holds {key}: a secret belongs in the environment or in a file of mode 0600."
            )
        if name not in SETTINGS:
            near = difflib.get_close_matches(name, SETTINGS, 1)
            hint = f"; did you mean {near[0]}?" if near else "; mass-stop run --help lists the settings."
            raise UsageError(f"{path} sets {key}, which is no setting{hint}")
        values[name] = SETTINGS[name].read(value, f"{key} in {path}")
    return values


def _checked_secret(text: str, origin: str) -> Secret:
    if not re.fullmatch(r"[!-~]+", text, re.ASCII):
        raise UsageError(f"{origin} holds characters that no header can carry (white space or beyond ASCII).")
    return Secret(text)


def _secret_in(path: str, origin: str) -> Secret:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        with os.fdopen(descriptor, encoding="utf-8") as file:
            mode = os.fstat(descriptor).st_mode
            if stat.S_ISREG(mode) and mode & 0o077:
                raise UsageError(f"{origin}: {path} can be read by others; run: chmod 600 {path}")
            text = file.read(65_536).strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise UsageError(f"{origin}: {path} cannot be read: {reason}.") from None
    if not text:
        raise UsageError(f"{origin}: {path} is empty.")
    return _checked_secret(text, f"{origin}: {path}")
