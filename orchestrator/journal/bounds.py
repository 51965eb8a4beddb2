"""How much of one row of the input is kept. A cell may have any length, but labels are there to be read."""

from msgspec import structs

from orchestrator.model import InputRow
from orchestrator.printable import shortened

LONGEST = 1_000
MOST_LABELS = 100
"""Characters of one label or malformed key, and labels of one row, that are kept."""


def bounded(row: InputRow) -> InputRow:
    """``row`` with long labels, and a long malformed key, shortened with a visible mark."""
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
