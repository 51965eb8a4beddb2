"""The page's templates are compiled once, and where nothing can be kept, each time."""

import shutil
import sys
from pathlib import Path

import jinja2
import pytest

from orchestrator.report.pages import environment


@pytest.fixture
def templates(tmp_path, monkeypatch) -> Path:
    """A copy of them without compiled forms."""
    folder = tmp_path / "templates"
    shutil.copytree(environment.TEMPLATES, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(environment, "TEMPLATES", folder)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    return folder


def load() -> jinja2.Template:
    return environment.template.__wrapped__()


def refuse(*_: object, **__: object) -> object:
    raise AssertionError("a template is compiled once more")


def test_a_template_that_was_compiled_once_is_not_compiled_again(templates, monkeypatch):
    load()
    monkeypatch.setattr(jinja2.Environment, "compile", refuse)
    load()


def test_a_template_that_was_changed_is_compiled_again(templates):
    load()
    page = templates / "page.html"
    page.write_text("changed")
    assert load().render() == "changed"


def test_a_compiled_template_that_is_damaged_is_compiled_again(templates):
    load()
    (kept,) = (templates / "__pycache__").iterdir()
    kept.write_bytes(kept.read_bytes()[:200])
    assert load().name == "page.html"


def test_without_a_cache_templates_are_compiled_each_time(templates):
    (templates / "__pycache__").write_text("no folder")
    assert load().name == "page.html"
    assert load().name == "page.html"


def test_no_template_is_cached_if_python_writes_no_bytecode(templates, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    load()
    assert not (templates / "__pycache__").exists()
