"""Keys as arguments, and objects that a program passes."""

import uuid
from pathlib import Path

import pytest

from orchestrator.errors import InputError
from orchestrator.model import InputRow
from orchestrator.sources import is_key_argument, join_key_arguments, open_source
from orchestrator.sources.objects import object_rows
from tests.unit.sources.test_shapes import A, B, C


def test_neighbouring_keys_are_one_source():
    assert join_key_arguments([A, B, "keys.csv", "-", C]) == [f"{A} {B}", "keys.csv", "-", C]


def test_the_rows_of_key_arguments_are_their_positions():
    opened = open_source(f"{A} {B}")
    assert (opened.name, list(opened.read())) == ("<arguments>", [InputRow(1, A), InputRow(2, B)])


@pytest.mark.parametrize("written", [f"'{C}'", f"{C}\u200b", f" {C}"])
def test_characters_around_a_key_argument_are_removed(written):
    assert is_key_argument(written)


def test_a_file_whose_name_is_a_key_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(A).write_text(f"{B}\n")
    assert (is_key_argument(A), [row.key for row in open_source(A).read()]) == (False, [B])


def test_an_argument_that_is_almost_a_key_is_refused_with_its_length():
    with pytest.raises(
        InputError, match=r"does not exist.* A bulk key has 32 letters or digits; this has 31\."
    ):
        open_source(C[1:])


FORM = "a bulk key is 32 letters or digits (A-Z, a-z, 0-9)"


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize("item", [A, f"{A}\n", f" {A}\r\n", f"\ufeff'{A}'"])
def test_a_line_of_a_program_is_stripped(item):
    assert object_rows(several=False, any_key=False)(7, item) == InputRow(7, A)


@pytest.mark.parametrize(
    ("item", "key", "problem"),
    [
        (None, "", "A bulk key must be text, not NoneType."),
        (A.encode(), f"b'{A}'"[:200].strip("'"), "A bulk key must be text, not bytes."),
        (uuid.UUID(A), str(uuid.UUID(A)), "A bulk key must be text, not UUID."),
        (7, "7", "A bulk key must be text, not int."),
        (Unprintable(), "", "A bulk key must be text, not Unprintable."),
        ({"bulk_key": A}, f"{{'bulk_key': '{A}'}}", "A bulk key must be text, not dict."),
        ((A, B, C), f"('{A}', '{B}', '{C}')", "A bulk key must be text, not tuple."),
        ("\ud800", "?", f"Character 1 of the key is '?' (U+003F); {FORM}."),
        ("x\0y", "x\ufffdy", f"Character 2 of the key is '\\ufffd' (U+FFFD); {FORM}."),
        ((7, A), A, "The name of a tenant must be text, not int."),
        (("north", A), A, "The key names a tenant (north), but this run has only one: pass the tenants as well."),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_an_invalid_key_of_a_program_is_a_malformed_row(item, key, problem):
    assert object_rows(several=False, any_key=False)(1, item) == InputRow(1, key, problem=problem)


def test_a_pair_of_a_program_belongs_to_its_tenant():
    assert object_rows(several=True, any_key=False)(1, ("north", f"{A}\n")) == InputRow(1, A, tenant="north")


def test_any_key_of_a_program_may_be_any_safe_text():
    assert object_rows(several=False, any_key=True)(1, "job-1") == InputRow(1, "job-1")
