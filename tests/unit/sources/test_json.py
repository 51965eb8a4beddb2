"""Keys in JSON: arrays, objects, lines, and invalid JSON."""

import gzip
import json

import pytest

from orchestrator.errors import InputError
from orchestrator.model import InputRow
from orchestrator.sources import open_source
from orchestrator.sources.json_rows import LONGEST
from tests.unit.sources.tables import brief, problem, source
from tests.unit.sources.test_shapes import A, B, C


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(f'["{A}","{B}"]', [(1, A), (1, B)], id="array on one line"),
        pytest.param(f'[\n  "{A}",\n  "{B}"\n]\n', [(2, A), (3, B)], id="array on several lines"),
        pytest.param(
            f'[{{"bulkKey": "{A}"}}, {{"bulk_key": "{B}"}}]', [(1, A), (1, B)], id="array of objects"
        ),
        pytest.param(f'{{"bulkKey": "{A}"}}\n{{"bulkKey": "{B}"}}\n', [(1, A), (2, B)], id="lines"),
        pytest.param(f'{{\n "success": true,\n "bulkKey": "{A}"\n}}', [(1, A)], id="one object"),
        pytest.param(f'["{A}"]\n["{B}", "{C}"]', [(1, A), (2, B), (2, C)], id="an array on each line"),
        pytest.param(f'[["{A}"], ["{B}"]]', [(1, A), (1, B)], id="arrays in an array"),
        pytest.param(f'{{"data": [{{"bulkKey": "{A}"}}], "n": 1}}', [(1, A)], id="objects in an object"),
        pytest.param(f'{{"keys": ["{A}", "{B}"]}}', [(1, A), (1, B)], id="an array in an object"),
        pytest.param(f'{{"bulkKey": ["{A}", "{B}"]}}', [(1, A), (1, B)], id="several keys in a member"),
        pytest.param(f'{{"bulkKey": "{A}", "bulk_key": "{B}"}}', [(1, A), (1, B)], id="both names"),
        pytest.param(f'{{"bulkKey": "{A}", "bulkKey": "{B}"}}', [(1, A), (1, B)], id="a name twice"),
        pytest.param(f'{{"bulkKey": "{A}", "next": [{{"bulkKey": "{B}"}}]}}', [(1, A), (1, B)], id="nested"),
        pytest.param(f'\ufeff \n["{A}"]', [(2, A)], id="byte order mark and blank line"),
        pytest.param(f'[" {A}\\u200b", "\'{B}"]', [(1, A), (1, B)], id="invisible characters and quotes"),
        pytest.param(f'[\r "{A}",\r "{B}"]', [(2, A), (3, B)], id="lone CR"),
        pytest.param("[]", [], id="empty array"),
        pytest.param(f'["{A}",]', [(1, A)], id="comma at the end"),
        pytest.param(
            f'# of today\n{{"bulkKey": "{A}"}}\n#x\n{{"bulkKey": "{B}"}}\n# end',
            [(2, A), (4, B)],
            id="comments",
        ),
        pytest.param(f'\ufeff# a\r# b\r[\r# "{A}",\r"{B}"]', [(5, B)], id="comments in an array"),
        pytest.param(
            f'{{"keys": [["{A}"], ["{B}"]]}}', [(1, A), (1, B)], id="arrays in an array in an object"
        ),
        pytest.param(f'{{"bulkKeys": ["{A}"]}}\n{{"bulkKey": "{B}"}}', [(1, A), (2, B)], id="list and key"),
    ],
)
def test_json_gives_its_keys_with_their_lines(keys, content, expected):
    assert brief(keys(content)) == expected
    assert len(keys(content)) == len(expected)


def test_the_other_members_of_an_object_are_labels(keys):
    members = {
        "bulkKey": A,
        "owner": "Ada",
        "size": 7,
        "done": False,
        "none": None,
        "tags": ["x"],
        "é": "\ud800",
    }
    [row] = keys(json.dumps(members))
    assert row.labels == {"owner": "Ada", "size": "7", "done": "false", "none": "", "tags": '["x"]', "é": "?"}


@pytest.mark.parametrize(
    ("content", "column"),
    [
        (f'{{"bulkKey": "{A}", "traces": ["{B}"], "old": {{"keys": ["{C}"]}}}}', None),
        (f'{{"traces": ["{B}"], "bulkKeys": ["{A}"], "old": {{"ids": ["{C}"]}}}}', None),
        (f'{{"bulkKey": "{B}", "keys": ["{C}"], "job": "{A}"}}', "job"),
        (f'{{"keys": ["{B}"], "jobs": ["{A}"], "ids": ["{C}"]}}', "jobs"),
    ],
    ids=["beside a key", "beside a list of keys", "column", "list in a column"],
)
def test_lists_in_other_members_than_the_keys_are_labels(keys, content, column):
    [row] = keys(content, column=column)
    assert (row.key, row.problem) == (A, None)
    assert {key for label in row.labels.values() for key in (B, C) if key in label} == {B, C}


def test_keys_in_lists_of_several_names_are_refused_and_named(keys):
    content = f'{{"stop": ["{A}"], "data": {{"keep": ["{B}"]}}}}'
    assert problem(keys(content)) == "Keys are in several members: 'stop', 'keep'. Choose one with --column."
    assert not brief(keys(content))


@pytest.mark.parametrize("first", [f'{{"bulkKey": "{A}"}}', f'{{"stop": ["{A}"]}}', f'"{A}"'])
def test_the_first_value_with_a_key_decides_the_member(keys, first):
    rows = keys(f'[{first}, {{"keep": ["{B}"]}}, {{"bulk_key": "{C}"}}]')
    assert brief(rows) == [(1, A), (1, C)]
    assert problem(rows).startswith("The value has no bulkKey or bulk_key")


def test_a_list_of_keys_has_the_other_members_as_labels_and_for_tenant(keys):
    content = json.dumps({"keys": [A, B], "job": "nightly", "ids": [C], "tenant": "north"})
    rows = keys(content, tenant="tenant")
    assert [row.labels for row in rows] == [{"job": "nightly", "ids": f'["{C}"]'}, {"job": "nightly"}]
    assert {row.tenant for row in rows} == {"north"}


def test_order_and_tenant_come_from_members_of_an_object(keys):
    content = json.dumps({"bulkKey": A, "Size": 7.5, "tenant": "north"})
    assert keys(content, weight="size", tenant="tenant") == [
        InputRow(1, A, {"Size": "7.5"}, 7.5, tenant="north")
    ]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ('{"bulkKey": "abc"}', "The key has 3 characters"),
        ('{"bulkKey": null}', "The key is empty."),
        ('["abc"]', "The key has 3 characters"),
        (f'["{A}", 7]', "The key has 1 character;"),
        (f'{{"job": "{A}"}}', "The value has no bulkKey or bulk_key; --column names another member."),
        ("[{}]", "The value has no bulkKey or bulk_key"),
    ],
)
def test_a_value_without_a_key_is_malformed(keys, content, sentence):
    assert problem(keys(content)).startswith(sentence)


@pytest.mark.parametrize(
    "content",
    [
        f'{{"data": [{{"bulkKey": "{A}"}}, {{"id": "{B}"}}]}}',
        f'[[{{"bulkKey": "{A}"}}, {{"id": "{B}"}}]]',
        f'{{"keys": ["{A}", "{B[1:]}"]}}',
        f'{{"keys": ["{A}", null]}}',
    ],
    ids=["object", "array", "text", "null"],
)
def test_an_item_without_a_key_beside_items_with_keys_is_malformed(keys, content):
    assert [row.problem is None for row in keys(content)] == [True, False]


def test_a_chosen_column_is_a_member(keys):
    assert keys(f'{{"job": "{A}", "bulkKey": "{B}"}}', column="job") == [InputRow(1, A, {"bulkKey": B})]


def test_a_missing_chosen_member_is_named_without_the_option(keys):
    assert problem(keys(f'{{"bulkKey": "{A}"}}', column="job")) == "The object has no 'job'."


def test_a_column_number_for_json_is_refused(keys):
    with pytest.raises(InputError, match="is JSON, which has no column 2: name the member with --column"):
        keys(f'["{A}"]', column="2")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (f'["{A}", "{B[:9]}', "unterminated string starting at (line 1)"),
        (f'["{A}",\n"{B}"', "the array that starts here is cut short (line 1). Copy the file again."),
        (f'{{"bulkKey": "{A}"}}\n{{"bulkKey": "{B}" x\n', "expecting ',' delimiter (line 2)"),
        (f'["{A}", ' + "[" * 100_000, "its values are nested too deeply (line 1)"),
        (
            f'["{A}", "' + "x" * (LONGEST + 200_000) + '"]',
            f"a value is longer than {LONGEST:,} characters (line 1)",
        ),
    ],
    ids=["cut in a string", "cut in an array", "broken line", "too deep", "too long"],
)
def test_invalid_json_gives_no_key(tmp_path, content, sentence):
    rows = source(tmp_path, content).read()
    with pytest.raises(InputError) as raised:
        next(rows)
    assert sentence in str(raised.value)


def test_keys_in_json_of_a_slow_pipe_are_read_as_they_arrive(pipe):
    slow = pipe(f'["{A}", "'.encode(), f'{B}"'.encode(), b"]")
    events: list[str] = []

    def wait() -> None:
        events.append("wait")
        slow.feed()

    events.extend(row.key for row in open_source(slow.spec).read(on_wait=wait))
    assert events == ["wait", "wait", A, "wait", B, "wait", "wait"]


def test_a_slow_pipe_of_json_may_start_with_a_comment(pipe):
    slow = pipe(b"# keys ", f'of today\n# more\n["{A}",\n#'.encode(), f' "{B}"\n]'.encode())
    rows = open_source(slow.spec).read(on_wait=slow.feed)
    assert brief(list(rows)) == [(3, A)]


def test_json_may_be_compressed(keys):
    assert brief(keys(gzip.compress(f'["{A}"]'.encode()))) == [(1, A)]


@pytest.mark.parametrize("content", [f"[id],bulk_key\n7,{A}\n", f"{{id}},bulk_key\n7,{A}\n"])
def test_a_title_in_brackets_is_no_json(keys, content):
    assert brief(keys(content)) == [(2, A)]
