"""The payments that mass payment uploads created: what a person may have to cancel or refund."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.atomic import append, sync
from orchestrator.results.action_types import PAYMENT_TYPE, Layout
from orchestrator.results.csv_text import (
    BLANK,
    constant,
    csv_lines,
    guarded,
    header_line,
    numbers,
    quoted,
    text_of,
)
from orchestrator.results.tables import RecordTable

COLUMNS = (
    "Payment ID", "Payment Type", "Payment Status", "Success", "Billing Account ID", "Payment Invoice",
    "Payment Amount", "Currency", "Payment Date", "Payment Method ID",
)  # fmt: skip


def is_electronic(table: RecordTable, layout: Layout) -> pa.Array:
    """Which records have the payment type Electronic; a blank type is External (Zuora API)."""
    place = layout.place(PAYMENT_TYPE)
    if place is None:
        return pa.repeat(pa.scalar(False, pa.bool_()), len(table.marks))
    kind = pc.ascii_lower(pc.ascii_trim_whitespace(table.columns[place].view(pa.string())))
    return pc.equal(kind, pa.scalar("electronic", pa.string()))


class PaymentList:
    """``MPU-payments.csv`` in ``folder``: every record that carries a payment id, electronic payments first."""

    def __init__(self, folder: Path) -> None:
        self.electronic = self.external = 0
        self.path = folder / "MPU-payments.csv"
        self._later = folder / ".external-payments"

    @property
    def records(self) -> int:
        """All payments."""
        return self.electronic + self.external

    def add(self, table: RecordTable, layout: Layout, bulk_key: str, created: pa.Array) -> None:
        """Writes the records of the mask ``created``. Raises OSError."""
        places = [layout.place(name.lower()) for name in COLUMNS]
        cells = [BLANK if place is None else quoted(guarded(table.columns[place])) for place in places]
        lines = csv_lines([constant(bulk_key.encode()), numbers(table.first, len(table.marks)), *cells])
        electronic = is_electronic(table, layout)
        now, later = pc.and_(created, electronic), pc.and_not(created, electronic)
        if not self.path.exists():
            append(self.path, header_line("bulk_key", "row", *COLUMNS))
        for path, chosen in ((self.path, lines.filter(now)), (self._later, lines.filter(later))):
            append(path, text_of(chosen))
        self.electronic += pc.sum(now).as_py() or 0
        self.external += pc.sum(later).as_py() or 0

    def finish(self) -> None:
        """Puts the external payments behind the electronic ones. Raises OSError."""
        with self._later.open("rb") as later:
            while piece := later.read(1 << 20):
                append(self.path, piece)
        self._later.unlink()
        sync(self.path)
