"""The entry point of the command ``mass-stop`` and of ``python -m orchestrator``."""

import os
import signal
from contextlib import suppress
from types import FrameType
from typing import NoReturn

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> NoReturn:
    """Run the command line. A signal before a run starts ends the process with its documented exit status.

    The handlers are set before the slow imports. In a container this is process 1, and the kernel discards its signals
    without a handler. The container blocks these signals until then, so that none is lost.
    """
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup sets SIG_IGN
            signal.signal(number, _end)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
    from orchestrator import cli

    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    cli.main()


def _end(number: int, _: FrameType | None) -> NoReturn:
    with suppress(OSError):
        os.write(2, b"mass-stop: interrupted; nothing was sent.\n")
    os._exit(128 + number)


if __name__ == "__main__":
    main()
