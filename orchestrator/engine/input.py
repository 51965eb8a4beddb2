"""Reading the keys to their end, and what follows if they break off: for one tenant and for several alike."""

from collections.abc import Awaitable, Callable

from orchestrator.engine.cutoff import Cutoff
from orchestrator.errors import InputError, MassStopError, StorageError, UsageError
from orchestrator.logs import Log


class InputCut(MassStopError):
    """The input broke off. ``error`` is what its source raised, if that was not an error of this product."""

    exit_status = 4

    def __init__(self, message: str, error: Exception | None = None) -> None:
        super().__init__(message)
        self.error = error


async def read_to_end(
    reading: Awaitable[None],
    cutoff: Cutoff,
    log: Log,
    *,
    any_key: Callable[[], bool],
    any_sent: Callable[[], bool],
    whose: str = "",
) -> bool:
    """Await ``reading``. Return whether the input was read to its end; if not, ``cutoff`` has the reason.

    If stops were sent, the keys that were read are stopped and polled as usual. Otherwise the run is cancelled.
    ``whose`` follows "key" in the sentence that says there is none.
    """
    try:
        await reading
        if not any_key():
            raise InputError(f"The input holds no usable bulk key{whose}: nothing to stop.")
    except UsageError as error:
        if isinstance(error, InputError):
            log.error("input.unreadable", message=str(error))
        if any_sent():
            cutoff.shorten(InputCut(str(error)))
        else:
            cutoff.cancel(error)
    except StorageError as error:
        cutoff.cancel(error)
    except Exception as error:  # noqa: BLE001 - the caller gets it back once the run has ended in order
        cutoff.cancel(InputCut(f"The keys ended with an error: {type(error).__name__}.", error))
    else:
        return True
    return False
