"""Where the command ``mass-stop``, and ``python -m orchestrator``, begins."""

import signal
from typing import NoReturn


def main() -> NoReturn:
    """Imports the command line and hands over to it.

    A Ctrl-C while the imports last ends the process as it ends any program that does nothing about it: there is no run
    yet, and a traceback of half an import would help nobody.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # and not ignored, as behind nohup
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from orchestrator import cli

    signal.signal(signal.SIGINT, before)
    cli.main()


if __name__ == "__main__":
    main()
