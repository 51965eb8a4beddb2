"""Admit the rows of one source to the journal in batches, with labels of a limited length."""

from collections import Counter
from concurrent.futures import Future

from msgspec import structs

from orchestrator.journal.entries import SourceInfo, chained, same_rows
from orchestrator.journal.journal import Journal
from orchestrator.model import InputRow
from orchestrator.printable import shortened

BATCH = 2_000
"""Rows admitted at once, at most; fewer if the source would wait for more."""

LONGEST = 1_000
MOST_LABELS = 100
"""Characters of one label or malformed key, and labels of one row, that are kept."""


class Admission:
    """Admits the rows of one source in batches, and skips those that an earlier session admitted."""

    def __init__(self, journal: Journal, info: SourceInfo, *, ranked: bool) -> None:
        self._journal = journal
        self._earlier = info
        self._skipped = 0
        self._chain = ""
        self._ranked = ranked
        self._batch: list[InputRow] = []
        self.info = info

    def add(self, row: InputRow) -> None:
        """Add the next row. Raises InputError if the rows to skip are not those that were admitted."""
        row = bounded(row)
        if self._skipped == self._earlier.rows:
            self._batch.append(row)
            return
        self._skipped += 1
        self._chain = chained(self._chain, [row])
        if self._skipped == self._earlier.rows:
            same_rows(self._earlier, self._chain)

    @property
    def empty(self) -> bool:
        return not self._batch

    @property
    def full(self) -> bool:
        return len(self._batch) >= BATCH

    def start(self) -> "Future[tuple[SourceInfo, Counter[str]]]":
        """Hand the batch over to the journal. The result goes to :meth:`done`; the batch must not be empty."""
        batch, self._batch = self._batch, []
        return self._journal.admit(self.info, batch, self._ranked)

    def done(self, admitted: tuple[SourceInfo, Counter[str]]) -> Counter[str]:
        """Return each tenant's number of new keys."""
        self.info, new = admitted
        return new

    def flush(self) -> Counter[str]:
        """Admit the batch and return each tenant's number of new keys. Blocks until it is committed."""
        return self.done(self.start().result()) if self._batch else Counter()

    def complete(self, sha256: str | None) -> None:
        """Record that the source was read to its end. Raises InputError if it is shorter than it was."""
        if self._skipped < self._earlier.rows:
            same_rows(self._earlier, self._chain)
        self._journal.source_complete(self.info, sha256)


def bounded(row: InputRow) -> InputRow:
    """``row`` with long labels, and a long malformed key, shortened with a visible mark.

    A cell may have any length, but labels are there to be read.
    """
    labels = row.labels
    if labels:
        if len(labels) > MOST_LABELS:
            names = list(labels)[:MOST_LABELS]
            labels = {name: labels[name] for name in names} | {
                "…": f"{len(row.labels) - len(names):,} more columns"
            }
        if max(map(len, labels.values())) > LONGEST or max(map(len, labels)) > LONGEST:
            labels = {shortened(name, LONGEST): shortened(text, LONGEST) for name, text in labels.items()}
    if row.problem is not None and max(len(row.key), len(row.tenant)) > LONGEST:
        key, tenant = shortened(row.key, LONGEST), shortened(row.tenant, LONGEST)
        return structs.replace(row, key=key, tenant=tenant, labels=labels)
    return row if labels is row.labels else structs.replace(row, labels=labels)
