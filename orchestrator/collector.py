"""How often a process at work looks for garbage."""

import gc


def seldom() -> None:
    """Puts aside what there is, which stays to the end, and looks for garbage seldom.

    To be called before a process imports what it needs, and once all is there.

    The memory of a key is freed by its last reference, so rare collections are enough. A full collection costs more the
    more was imported, and a dask worker imports much.
    """
    gc.freeze()
    gc.set_threshold(200_000, 20, 20)
