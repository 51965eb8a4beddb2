"""The next step for each record: send it again, correct it first, review it, or reverse it."""

from array import array

import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct

from orchestrator.results.action_types import GROUP, PAYMENT_ID, Layout, normalised
from orchestrator.results.csv_text import BLANK
from orchestrator.results.tables import RecordTable

AFTER_FAILURE = b"An earlier record of its group failed."
HAS_PAYMENT = b"It carries a payment id: a payment may exist. Sending it again may charge twice."

_YES, _NO = pa.scalar(b"Y", pa.binary()), pa.scalar(b"N", pa.binary())
_FALSE, _TRUE = pa.scalar(False, pa.bool_()), pa.scalar(True, pa.bool_())
_NO_NAMES = pa.array([], pa.binary())
_COMPARED_AT_ONCE = 4  # tables whose groups are compared with those of earlier tables


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


class Groups:
    """The groups of one response file whose records are in several tables.

    First `note` takes the groups of each table, unless there is one table only. Then `behind` and `complete` are called
    for each table, in their order.
    """

    def __init__(self) -> None:
        self._tables = 0
        self._recent: list[pa.Array] = []  # the groups in each of the last tables
        # The hashes of the groups before those. Many small arrays would scatter in memory.
        self._earlier = array("I")
        self._last: dict[bytes, int] = {}  # the last table of each group that is in several
        self._going_on = self._failed = _NO_NAMES

    def note(self, groups: pa.Array) -> None:
        """Takes the groups of the records of the next table."""
        self._recent.append(pc.unique(groups.filter(pc.not_equal(groups, BLANK))))
        if len(self._recent) == _COMPARED_AT_ONCE:
            self._compare()

    def _compare(self) -> None:
        """Finds the groups that are in several tables.

        Two groups may have the same hash. Such a group only seems to go on up to a table that it is in.
        """
        hashes = list(map(_hashes, self._recent))
        new = pa.concat_arrays(hashes)
        counts = pc.value_counts(new)
        several = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
        earlier = pa.Array.from_buffers(pa.uint32(), len(self._earlier), [None, pa.py_buffer(self._earlier)])
        found = pa.concat_arrays([several, earlier.filter(pc.is_in(earlier, value_set=new))])
        del earlier  # or the array could not grow
        for table, (names, own) in enumerate(zip(self._recent, hashes, strict=True), self._tables):
            going_on = names.filter(pc.is_in(own, value_set=found))
            self._last.update(dict.fromkeys(going_on.to_pylist(), table))
        self._tables += len(self._recent)
        self._recent.clear()
        self._earlier.frombytes(memoryview(new.buffers()[1])[: 4 * len(new)])

    def begin(self, table: int) -> None:
        """Prepares for a table; they count from 0."""
        if self._recent:
            self._compare()
        self._earlier = array("I")
        self._last = {name: last for name, last in self._last.items() if last > table}
        self._going_on = pa.array(self._last, pa.binary())

    def behind(self, groups: pa.Array, failed: pa.Array, unprocessed: pa.Array) -> pa.Array:
        """Which of the ``unprocessed`` records follow a ``failed`` record of their group."""
        failing = pc.and_(failed, pc.not_equal(groups, BLANK))
        named = groups.filter(failing)
        at = pa.arange(0, len(groups))
        failed_at = pc.take(at.filter(failing), pc.index_in(groups, value_set=named))
        behind = pc.fill_null(pc.less(failed_at, at), _FALSE)
        if len(self._failed):
            behind = pc.or_(behind, pc.is_in(groups, value_set=self._failed))
        if len(self._going_on):
            names = pc.unique(pa.concat_arrays([self._failed, named]))
            self._failed = names.filter(pc.is_in(names, value_set=self._going_on))
        return pc.and_(unprocessed, behind)

    def complete(self, groups: pa.Array) -> int:
        """How many of these records come before all groups that go on in later tables.

        A group is wholly among them, or not at all.
        """
        end, later = len(groups), self._going_on
        while len(later):
            first = pc.index(pc.is_in(groups, value_set=later), _TRUE).as_py()
            if first in (-1, end):
                break
            end = first
            behind = groups.slice(end)  # these groups wait as well, and may begin before this place
            later = behind.filter(pc.not_equal(behind, BLANK))
        return end


def _hashes(names: pa.Array) -> pa.Array:
    return pa.array([hash(name) & 0xFFFF_FFFF for name in names.to_pylist()], pa.uint32())


def verdicts(table: RecordTable, layout: Layout | None, groups: Groups) -> Verdicts:
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
