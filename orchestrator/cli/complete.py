"""The words that a shell offers after an option or for an argument. Answers in the time a key press may take."""

from collections.abc import Callable, Mapping

import click
from click.shell_completion import CompletionItem

from orchestrator.settings import ENVIRONMENTS, SETTINGS

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem[str]]]

FOLDERS = frozenset({"out", "plan"})
CHOICES: Mapping[str, Mapping[str, str]] = {
    "env": ENVIRONMENTS,
    "engine": {"local": "in this process", "dask": "by the workers of a dask cluster"},
    "log_format": {
        "auto": "for people on a terminal, JSON lines elsewhere",
        "console": "for people",
        "json": "JSON lines",
    },
    "log_level": {
        "debug": "each call",
        "info": "what happens",
        "warning": "what needs a person",
        "error": "what failed",
    },
}
"""Settings that take one of a few words, with what each means."""


def files(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Paths, by the shell's own means."""
    return [CompletionItem(incomplete, type="file")]


def folders(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Directories, by the shell's own means."""
    return [CompletionItem(incomplete, type="dir")]


def folder_then_files(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem[str]]:
    """A directory as the first argument, files after it."""
    return [CompletionItem(incomplete, type="file" if ctx.params.get(str(param.name)) else "dir")]


def words(choices: Mapping[str, str]) -> Complete:
    """Those of ``choices`` that begin with what was typed, with their meaning."""

    def complete(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        return [
            CompletionItem(name, help=meaning)
            for name, meaning in choices.items()
            if name.startswith(incomplete.lower())
        ]

    return complete


def of_setting(name: str) -> Complete | None:
    """How the value of a setting is completed; None where there is nothing to offer."""
    if name in CHOICES:
        return words(CHOICES[name])
    if name in FOLDERS:
        return folders
    return files if SETTINGS[name].form.metavar == "PATH" else None
