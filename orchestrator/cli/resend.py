"""The end of a drill: the spared records are uploaded again, and both runs together are checked."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.results.index import read_index

if TYPE_CHECKING:
    from orchestrator.simulator import SimulatedTenant

MOST_RECORDS = 1_000_000
"""Records of a drill that are checked; a larger drill would take minutes for it."""


def resend(directory: Path, tenant: "SimulatedTenant") -> str | None:
    """Upload ``remediation/resend/`` to the simulated tenant. Blocks: call it in a thread.

    Returns:
        A sentence that says what came of it; None if there is nothing to upload, or too much to check.
    """
    index = read_index(directory)
    spared = index.records_in("resend") if index is not None else 0
    keys = list(tenant.keys)
    if index is None or not spared or sum(tenant.truth(key).total for key in keys) > MOST_RECORDS:
        return None
    again = [
        tenant.upload(
            Path(file.path).name.partition("-")[0], (directory / "remediation" / file.path).read_bytes()
        )
        for file in index.files
        if file.folder == "resend"
    ]
    first = Counter(record for key in keys for record in tenant.processed(key))
    second = Counter(record for key in again for record in tenant.processed(key))
    twice = sum((first & second).values()) + sum(count - 1 for count in second.values())
    missing = spared - second.total()
    if twice or missing:
        return (
            f"The {spared:,} spared records were uploaded again: {twice:,} were processed twice, {missing:,} not "
            "at all. This is a defect of mass-stop."
        )
    return (
        f"The {spared:,} spared records were uploaded again and completed: each was processed exactly once."
    )
