"""The garbage collector of a process that runs a session."""

import gc


def collect_rarely() -> None:
    """Exclude all present objects from collection, and collect rarely.

    Call it before the imports of a process and once after them: imported objects stay until the end.

    The memory of a key is freed with its last reference, so rare collections are enough. A full collection visits all
    imported objects, and a dask worker imports many.
    """
    gc.freeze()
    gc.set_threshold(200_000, 20, 20)
