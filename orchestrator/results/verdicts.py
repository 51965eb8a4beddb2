"""The next step for each record: send it again, correct it first, review it, or reverse it."""

import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct

from orchestrator.results.action_types import GROUP, PAYMENT_ID, Layout, normalised
from orchestrator.results.csv_text import BLANK, places
from orchestrator.results.tables import RecordTable

AFTER_FAILURE = b"An earlier record of its group failed."
HAS_PAYMENT = b"It carries a payment id: a payment may exist. Sending it again may charge twice."

_YES, _NO = pa.scalar(b"Y", pa.binary()), pa.scalar(b"N", pa.binary())
_FALSE, _TRUE = pa.scalar(False, pa.bool_()), pa.scalar(True, pa.bool_())


class Verdicts(Struct, frozen=True):
    """One mask of booleans a verdict, over the records of a table. ``resend``, ``retry`` and ``held`` are disjoint.

    ``held_by_group`` are the unprocessed records behind a failed record of their own group. ``groups`` has the group of
    each record without surrounding blanks, if the file has groups that count.
    """

    succeeded: pa.Array
    failed: pa.Array
    unprocessed: pa.Array
    resend: pa.Array
    retry: pa.Array
    held: pa.Array
    held_by_group: pa.Array
    has_payment: pa.Array
    groups: pa.Array | None


class FailedGroups:
    """The groups of one response file in which a record has failed so far; its tables come in their order."""

    def __init__(self) -> None:
        self._failed = pa.array([], pa.binary())

    def behind(self, groups: pa.Array, failed: pa.Array, unprocessed: pa.Array) -> pa.Array:
        """Which of the ``unprocessed`` records follow a ``failed`` record of their group."""
        failing = pc.and_(failed, pc.not_equal(groups, BLANK))
        named = groups.filter(failing)
        at = places(len(groups))
        failed_at = pc.take(at.filter(failing), pc.index_in(groups, value_set=named))
        here = pc.fill_null(pc.less(failed_at, at), _FALSE)
        earlier = pc.is_in(groups, value_set=self._failed)
        self._failed = pc.unique(pa.concat_arrays([self._failed, named]))
        return pc.and_(unprocessed, pc.or_(here, earlier))


class GroupSpans:
    """How far the groups of one response file reach, if it has several tables."""

    def __init__(self) -> None:
        self._seen = pa.array([], pa.binary())
        self._last: dict[bytes, int] = {}  # of the groups in several tables

    def note(self, groups: pa.Array, table: int) -> None:
        """Takes the groups of the records of a table; ``table`` counts the tables from 0."""
        names = pc.unique(groups.filter(pc.not_equal(groups, BLANK)))
        again = pc.is_in(names, value_set=self._seen)
        self._last.update(dict.fromkeys(names.filter(again).to_pylist(), table))
        self._seen = pa.concat_arrays([self._seen, names.filter(pc.invert(again))])

    def complete(self, groups: pa.Array, table: int) -> int:
        """How many of these records come before all groups that go on in later tables than ``table``.

        A group is wholly among them, or not at all.
        """
        end = len(groups)
        later = pa.array([group for group, last in self._last.items() if last > table], pa.binary())
        while len(later) and (first := pc.index(pc.is_in(groups, value_set=later), _TRUE).as_py()) not in (
            -1,
            end,
        ):
            end = first
            behind = groups.slice(end)
            later = behind.filter(pc.not_equal(behind, BLANK))
        return end


def verdicts(table: RecordTable, layout: Layout | None, groups: FailedGroups) -> Verdicts:
    """The verdicts on the records of ``table``.

    Source of the rules: Zuora API, mass action files. After a failed record, the later records of its ``Group ID`` are
    not processed. A payment record may have failed and still carry a payment id.
    """
    succeeded, failed = pc.equal(table.marks, _YES), pc.equal(table.marks, _NO)
    unprocessed = pc.invert(pc.or_(succeeded, failed))
    nothing = pa.repeat(_FALSE, len(table.marks))
    by_group, has_payment, named = nothing, nothing, None
    grouping = group_place(table.header, layout)
    if grouping is not None:
        named = stripped(table.columns[grouping])
        by_group = groups.behind(named, failed, unprocessed)
    if layout is not None and not layout.action_type.grouped:
        payment = layout.place(PAYMENT_ID)
        if payment is not None:
            has_payment = pc.not_equal(stripped(table.columns[payment]), BLANK)
    held = pc.or_(by_group, pc.and_(has_payment, pc.or_(failed, unprocessed)))
    return Verdicts(
        succeeded,
        failed,
        unprocessed,
        resend=pc.and_not(unprocessed, held),
        retry=pc.and_not(failed, held),
        held=held,
        held_by_group=by_group,
        has_payment=has_payment,
        groups=named,
    )


def group_place(header: list[str], layout: Layout | None) -> int | None:
    """Where the column of groups is, if the file has one that counts."""
    if layout is not None:
        return layout.place(GROUP) if layout.action_type.grouped else None
    names = [normalised(name) for name in header]
    return names.index(GROUP) if names.count(GROUP) == 1 else None


def stripped(column: pa.Array) -> pa.Array:
    """``column`` without blanks around its cells."""
    return pc.ascii_trim_whitespace(column.view(pa.string())).view(pa.binary())
