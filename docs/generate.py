"""Generates the reference of the site from the code: a hook of MkDocs (``hooks`` in ``mkdocs.yml``).

A line ``<!-- generated: NAME -->`` in a page is replaced by what the function of that name returns, and
``<!-- generated: NAME ARGUMENT -->`` by what it returns for the argument.
"""

import ast
import inspect
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from posixpath import dirname, normpath
from typing import Any

import click

import orchestrator
from orchestrator.cli import COMMANDS, group
from orchestrator.cli.help import EXAMPLES, EXIT_STATUSES
from orchestrator.model import OVER, RESUMABLE
from orchestrator.report import json_schema
from orchestrator.report.wording import OUTCOMES
from orchestrator.settings import ENVIRONMENTS, SETTINGS, Setting

MARKER = re.compile(r"^<!-- generated: (\w+)(?: (\w+))? -->$", re.M)

_LINK = re.compile(r"\[([^\]]+)\]\(([^)#:]+)(#[^)]*)?\)")


def on_config(config: Any) -> Any:
    """Leaves out of the navigation what is not written yet, so that a page may be announced before it is there."""
    config["nav"] = [_existing(entry, Path(config["docs_dir"])) for entry in config["nav"]]
    return config


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Fills in what is generated; a link to a file outside of the site becomes the file's name."""
    return _links_within(filled(markdown), page.file.src_uri)


def filled(markdown: str) -> str:
    """``markdown`` with every marker replaced. Raises KeyError for one that names nothing."""
    return MARKER.sub(lambda found: GENERATORS[found[1]](*filter(None, found.groups()[1:])), markdown)


def commands() -> str:
    """Every command with its usage, its text and its options."""
    return "\n\n".join(_command(name) for name in COMMANDS)


def settings() -> str:
    """Every setting with its three names, its default, and what it takes."""
    rows = [
        (
            f"`{one.name.replace('_', '-')}`",
            f"`{one.option}`",
            f"`{one.variable}`",
            _default(one),
            one.form.expected,
        )
        for one in SETTINGS.values()
    ]
    return _table(("in the file", "option", "environment", "default", "takes"), rows)


def environments() -> str:
    """The data centres by name."""
    rows = [(f"`{name}`", f"`{address}`") for name, address in ENVIRONMENTS.items()]
    return _table(("`--env`", "address"), rows)


def exit_statuses() -> str:
    """Every exit status of a run, with its meaning and what to do."""
    rows = [
        (f"[{code}](#{code.split(', ')[1] if ',' in code else code})", meaning, todo)
        for code, (meaning, todo) in EXIT_STATUSES.items()
    ]
    return _table(("code", "meaning", "what to do"), rows)


def outcomes() -> str:
    """Every outcome with its meaning, whether it is over, and what to do."""
    rows = [
        (
            f"[`{outcome}`](#{outcome})",
            words.meaning,
            "yes" if outcome in OVER else "",
            "continues" if outcome in RESUMABLE else "leaves it",
            words.todo or "Nothing.",
        )
        for outcome, words in OUTCOMES.items()
    ]
    return _table(("outcome", "meaning", "over", "`resume`", "what to do"), rows)


def fields(struct: str) -> str:
    """The fields of one part of the report, with what its class says of them."""
    part = json_schema()["$defs"][struct]
    needed = part.get("required", [])
    rows = [
        (f"`{name}`", _type(about), "always" if name in needed else "where it applies")
        for name, about in part["properties"].items()
    ]
    return f"{_prose(part.get('description', ''))}\n\n{_table(('field', 'holds', 'is there'), rows)}"


def python(name: str) -> str:
    """One public name of the package: its signature and its docstring."""
    value = getattr(orchestrator, name)
    # From its source, never from its values: a default may come from the environment of the build.
    definition = ast.parse(inspect.getsource(value)).body[0]
    if isinstance(definition, ast.FunctionDef | ast.AsyncFunctionDef):
        definition.body = [ast.Pass()]
        head = ast.unparse(definition).removesuffix(":\n    pass")
    else:
        head = f"class {name}"
    return f"```text\n{head}\n```\n\n{_prose(inspect.getdoc(value) or '')}"


GENERATORS: dict[str, Callable[..., str]] = {
    one.__name__: one for one in (commands, settings, environments, exit_statuses, outcomes, fields, python)
}


def _command(name: str) -> str:
    found = group.get_command(click.Context(group), name)
    assert found is not None
    context = click.Context(found, info_name=f"mass-stop {name}")
    usage = " ".join(found.collect_usage_pieces(context)).replace("[OPTIONS] ", "").replace("[OPTIONS]", "")
    rows = [_option(one, context) for one in found.params if isinstance(one, click.Option)]
    return "\n".join(
        (
            f"## `mass-stop {name}` {{ #{name} }}",
            "",
            "```text",
            f"mass-stop {name} [OPTIONS] {usage}".rstrip(),
            "```",
            "",
            _help(found.help or ""),
            "",
            _examples(name),
            _table(("option", "environment", "default", "meaning"), rows) if rows else "It takes no options.",
        )
    )


def _examples(name: str) -> str:
    lines = "\n".join(f"{line}   # {meaning}" for line, meaning in EXAMPLES.get(name, ()))
    return f"```text\n{lines}\n```\n" if lines else ""


def _help(text: str) -> str:
    """A command's text; what Click must not wrap (``\\b``) is a block of its own."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(
        f"```text\n{inspect.cleandoc(one[1:])}\n```" if one.startswith("\b") else one for one in paragraphs
    )


def _option(option: click.Option, context: click.Context) -> tuple[str, ...]:
    setting = SETTINGS.get(option.name or "")
    if setting is not None:
        shown = setting.option if setting.flag else f"{setting.option} {setting.form.metavar}"
        text = setting.help[0].upper() + setting.help[1:]
        if setting.repeatable:
            text += "; may be given several times"
        return f"`{shown}`", f"`{setting.variable}`", _default(setting), text
    metavar = "" if option.is_flag else f" {option.make_metavar(context)}"
    variable = f"`{option.envvar}`" if option.envvar else ""
    default = option.get_default(context)
    shown_default = f"`{default}`" if option.show_default and default is not None else ""
    return f"`{option.opts[0]}{metavar}`", variable, shown_default, (option.help or "").rstrip(".")


def _default(setting: Setting) -> str:
    return "" if setting.default in (None, (), False) else f"`{setting.form.show(setting.default)}`"


def _type(about: dict[str, Any]) -> str:
    if "anyOf" in about:
        return " or ".join(_type(one) for one in about["anyOf"])
    if "$ref" in about:
        return f"`{about['$ref'].rpartition('/')[2]}`"
    if "enum" in about:
        return ", ".join(f"`{value}`" for value in about["enum"])
    if about.get("type") == "array":
        return f"list of {_type(about['items'])}" if "items" in about else "list"
    if about.get("type") == "object":
        return "object"
    return {"null": "null", "string": "text", "integer": "whole number"}.get(about.get("type", ""), "number")


def _prose(docstring: str) -> str:
    """A docstring as Markdown: its sections as definitions, its code as code."""
    text = re.sub(r":\w+:`([^`]+)`", r"`\1`", docstring.replace("``", "`"))
    lines, section = [], ""
    for line in text.splitlines():
        if found := re.fullmatch(r"(Args|Returns|Raises|Attributes):", line):
            section = found[1]
            lines.append(f"**{section}**\n")
        elif section and (found := re.fullmatch(r"    (\w+): (.*)", line)):
            lines.append(f"- `{found[1]}`: {found[2]}")
        elif section and line.startswith("    "):
            lines.append(f"  {line.strip()}")
        else:
            section = section if not line.strip() else ""
            lines.append(line)
    return "\n".join(lines)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    def line(cells: tuple[str, ...]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return "\n".join((line(head), line(("---",) * len(head)), *map(line, rows)))


def _existing(entry: Any, folder: Path) -> Any:
    if isinstance(entry, str):
        return entry
    return {
        title: [page for page in pages if (folder / page).is_file()] if isinstance(pages, list) else pages
        for title, pages in entry.items()
    }


def _links_within(markdown: str, page: str) -> str:
    def label_only(found: re.Match[str]) -> str:
        leaves = normpath(f"{dirname(page)}/{found[2]}" if dirname(page) else found[2]).startswith("..")
        return found[1] if leaves else found[0]

    return _LINK.sub(label_only, markdown)
