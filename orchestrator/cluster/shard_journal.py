"""The journal of a shard on its worker: the journal of an earlier try, or a new one."""

from contextlib import suppress

import msgspec

from orchestrator.clock import Clock
from orchestrator.cluster.messages import Shard
from orchestrator.errors import StorageError
from orchestrator.journal import journal as journals
from orchestrator.journal import shards
from orchestrator.journal.entries import TenantInfo
from orchestrator.rundir import RunDirectory


def open_journal(directory: RunDirectory, shard: Shard, clock: Clock) -> journals.Journal:
    """Return the shard's journal: that of an earlier try, or a new one with the shard's keys.

    Raises StorageError if the journal of an earlier try cannot be read; it is left as it is.
    """
    try:
        untouched = shards.is_untouched(directory.path)
    except OSError as error:
        raise StorageError(f"The folder {directory.path} cannot be read: {error.strerror}.") from error
    earlier = None if untouched else shards.earlier(directory.journal)
    if earlier is not None:
        earlier.close()
        return journals.reopen(directory.journal, clock, shared=True)
    journal = _create(directory, clock)
    try:
        _fill(journal, shard)
        if untouched:
            _touch(directory)
        else:  # the journal of the earlier try is gone
            shards.doubt_unsent(journal).result()
    except BaseException:
        with suppress(StorageError):
            journal.close()
        raise
    return journal


def _create(directory: RunDirectory, clock: Clock) -> journals.Journal:
    """Create a journal. It replaces one that an earlier try began and did not fill."""
    for begun in directory.path.glob("journal.*"):
        with suppress(OSError):
            begun.unlink()
    return journals.create(directory.journal, clock, shared=True)


def _fill(journal: journals.Journal, shard: Shard) -> None:
    tenant = TenantInfo(shard.tenant.address, shard.tenant.entity_id, shard.tenant.org_ids)
    journal.begin(msgspec.structs.replace(shard.info, tenants={shard.name: tenant} if shard.name else {}))
    shards.put(journal, shard.rows).result()


def _touch(directory: RunDirectory) -> None:
    try:
        shards.touch(directory.path)
    except OSError as error:
        raise StorageError(
            f"The folder {directory.path} cannot be written to ({error.strerror}); nothing was sent."
        ) from error
