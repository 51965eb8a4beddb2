"""The journal of a shard, on the worker: an earlier try's, gone on with, or a new one."""

from contextlib import suppress

import msgspec

from orchestrator.clock import Clock
from orchestrator.cluster.messages import Shard
from orchestrator.errors import StorageError
from orchestrator.journal import journal as journals
from orchestrator.journal import shards
from orchestrator.journal.entries import TenantInfo
from orchestrator.runs.rundir import RunDirectory


def open_journal(directory: RunDirectory, shard: Shard, clock: Clock) -> journals.Journal:
    """The shard's journal: an earlier try's, or a new one with the keys it carries.

    Raises StorageError where that of an earlier try cannot be read, which is left as it is.
    """
    try:
        untouched = shards.is_untouched(directory.path)
    except OSError as error:
        raise StorageError(f"The folder {directory.path} cannot be read: {error.strerror}.") from error
    earlier = None if untouched else shards.earlier(directory.journal)
    if earlier is not None:
        earlier.close()
        return journals.reopen(directory.journal, clock, shared=True)
    journal = _created(directory, clock)
    try:
        _fill(journal, shard)
        if not untouched:  # the journal of the earlier try is gone
            journal.perform(shards.doubt).result()
        else:
            _touch(directory)
    except BaseException:
        with suppress(StorageError):
            journal.close()
        raise
    return journal


def _created(directory: RunDirectory, clock: Clock) -> journals.Journal:
    """In the place of one that was begun and holds nothing, if there is one."""
    for begun in directory.path.glob("journal.*"):
        with suppress(OSError):
            begun.unlink()
    return journals.create(directory.journal, clock, shared=True)


def _fill(journal: journals.Journal, shard: Shard) -> None:
    tenant = TenantInfo(shard.tenant.address, shard.tenant.entity_id, shard.tenant.org_ids)
    journal.begin(msgspec.structs.replace(shard.info, tenants={shard.name: tenant} if shard.name else {}))
    journal.perform(lambda connection: shards.put(connection, shard.rows)).result()


def _touch(directory: RunDirectory) -> None:
    try:
        shards.touch(directory.path)
    except OSError as error:
        raise StorageError(
            f"The folder {directory.path} cannot be written to ({error.strerror}); nothing was sent."
        ) from error
