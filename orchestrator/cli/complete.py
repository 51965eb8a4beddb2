"""The words that a shell offers after an option or for an argument. Answers in the time a key press may take."""

from collections.abc import Callable, Mapping

import click
from click.shell_completion import CompletionItem

from orchestrator.settings import SETTINGS
from orchestrator.settings.forms import FOLDER

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem[str]]]


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
    form = SETTINGS[name].form
    if form.words:
        return words(form.words)
    if form is FOLDER:
        return folders
    return files if form.metavar == "PATH" else None
