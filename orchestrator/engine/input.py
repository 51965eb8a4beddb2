"""The keys read to their end, and what follows where they break off: for one tenant and for several alike."""

from collections.abc import Awaitable, Callable

from msgspec import Struct

from orchestrator.errors import InputError, MassStopError, StorageError, UsageError
from orchestrator.logs import Log


class InputCut(MassStopError):
    """The input broke off when stops of it had been sent already."""

    exit_status = 4


class InputEnd(Struct, frozen=True):
    """How the reading ended: with the input, where nothing else is told.

    ``cut_by`` lets no further call start. ``shortened_by`` is told where stops were sent: the keys that were read are
    under way, and seen to their ends. ``error`` is what the source of the keys raised that was not an error of ours.
    """

    cut_by: MassStopError | None = None
    shortened_by: InputCut | None = None
    error: Exception | None = None


async def read_to_end(
    reading: Awaitable[None],
    log: Log,
    *,
    any_key: Callable[[], bool],
    any_sent: Callable[[], bool],
    whose: str = "",
) -> InputEnd:
    """Awaits ``reading``, and says how it ended; ``whose`` follows "key" in the sentence that there is none."""
    try:
        await reading
        if not any_key():
            raise InputError(f"The input holds no usable bulk key{whose}: nothing to stop.")
    except UsageError as error:
        if isinstance(error, InputError):
            log.error("input.unreadable", message=str(error))
        return InputEnd(shortened_by=InputCut(str(error))) if any_sent() else InputEnd(cut_by=error)
    except StorageError as error:
        return InputEnd(cut_by=error)
    except Exception as error:  # noqa: BLE001 - it is the caller's, who gets it back once the run is put in order
        return InputEnd(cut_by=InputCut(f"The keys broke off: {type(error).__name__}."), error=error)
    return InputEnd()
