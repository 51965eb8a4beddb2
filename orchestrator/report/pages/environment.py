"""The page's Jinja2 environment: its filters, its compiled templates, and its content security policy."""

import base64
import hashlib
import re
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import msgspec
from jinja2.bccache import Bucket
from markupsafe import Markup, escape

from orchestrator.durations import show_rounded
from orchestrator.printable import counted, printable
from orchestrator.report.pages.evidence import operator_facts, operator_parts, verified
from orchestrator.settings import kind_of_tenant

TEMPLATES = Path(__file__).parent / "templates"

UNKNOWN = "–"
"""Shown in place of a value that is not known."""

_COMMAND = re.compile(r"mass-stop resume(?: --[a-z-]+)?|mass-stop [a-z]+|--[a-z][a-z…-]*")
_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])")


@cache
def template() -> jinja2.Template:
    """The page's template, compiled."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        bytecode_cache=_Compiled(),
        autoescape=True,
        finalize=_visible,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "verified": verified,
        "kind_of_tenant": kind_of_tenant,
        "operator_facts": operator_facts,
        "operator_parts": operator_parts,
        "commands": _commands,
        "counted": counted,
        "breakable": _breakable,
        "number": lambda value: UNKNOWN if value is None else f"{value:,}",
        "duration": lambda seconds: UNKNOWN if seconds is None else show_rounded(seconds),
        "share": lambda part, whole: f"{100 * part / whole:.2f}",
    }
    return environment.get_template("page.html")


def _visible(value: Any) -> Any:
    """A value that a template shows: each text passes here, so that no hidden character of it reaches the page."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def safe_json(value: object) -> bytes:
    """JSON that is safe in a script element: nothing in it ends the element or begins a comment (HTML, 4.12.1.3)."""
    return msgspec.json.encode(value).replace(b"<", b"\\u003c")


def in_script(json: bytes) -> Markup:
    """``json`` as the content of a script element, where nothing is escaped as in HTML."""
    return Markup(json.decode())


@cache
def part(name: str) -> Markup:
    """A file of ours that goes into the page as it is."""
    return Markup((TEMPLATES / name).read_text("utf-8"))


@cache
def policy() -> str:
    """The content security policy: nothing is loaded, and only these two elements of the page have an effect."""

    def source(name: str) -> str:
        digest = hashlib.sha256(part(name).encode()).digest()
        return f"'sha256-{base64.b64encode(digest).decode()}'"

    return (
        f"default-src 'none'; script-src {source('page.js')}; style-src {source('page.css')}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _commands(sentence: str, directory: str) -> Markup:
    """``sentence`` with its commands and options as code. ``resume`` gets the run's ``directory``."""

    def code(found: re.Match[str]) -> Markup:
        if not found[0].startswith("mass-stop resume"):
            return Markup('<code class="spelled">{}</code>').format(found[0])
        option = found[0].removeprefix("mass-stop resume")
        return Markup('<code class="command">mass-stop resume {}{}</code>').format(directory, option)

    pieces, place = [], 0
    for found in _COMMAND.finditer(sentence):
        pieces += [escape(sentence[place : found.start()]), code(found)]
        place = found.end()
    return Markup("").join([*pieces, escape(sentence[place:])])


def _breakable(name: str) -> Markup:
    """``name`` with a place for a line break before each capital letter, as in ``UpdateRevenueSchedule``."""
    return Markup("<wbr>").join(_WORD.split(name))


class _Compiled(jinja2.FileSystemBytecodeCache):
    """Keeps compiled templates beside their sources, as Python keeps compiled modules.

    To compile them takes most of the time of a short run's page. Where nothing can be written, or must not be
    (``PYTHONDONTWRITEBYTECODE``), each run compiles them again.
    """

    def __init__(self) -> None:
        super().__init__(str(TEMPLATES / "__pycache__"))

    def load_bytecode(self, bucket: Bucket) -> None:
        with suppress(OSError):
            super().load_bytecode(bucket)

    def dump_bytecode(self, bucket: Bucket) -> None:
        if sys.dont_write_bytecode:
            return
        with suppress(OSError):
            Path(self.directory).mkdir(exist_ok=True)
            super().dump_bytecode(bucket)
