"""Stop the actions of a tenant, and print the other changes in the process.

``python left_alone.py BASE_URL CLIENT_ID OUT KEY…``, with the client's secret in the environment. It needs its own
process, because tests have already imported the modules that a program imports at first use.
"""

import asyncio
import contextlib
import gc
import importlib
import logging
import os
import resource
import signal
import sys
import threading
import time
import warnings
from typing import Any

import structlog


def state() -> dict[str, Any]:
    """Return the settings of the process that belong to the program."""
    umask = os.umask(0o077)
    os.umask(umask)
    loggers = [logging.getLogger(), *(one for one in logging.root.manager.loggerDict.values())]
    return {
        "loggers": [
            (one.name, one.level, one.handlers, one.filters, one.disabled)
            for one in loggers
            if isinstance(one, logging.Logger) and (one.level or one.handlers or one.filters or one.disabled)
        ],
        "logger class": logging.getLoggerClass(),
        "record factory": logging.getLogRecordFactory(),
        "warnings": list(warnings.filters),
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "garbage collection": (gc.isenabled(), gc.get_threshold(), gc.get_freeze_count()),
        "hooks": (sys.excepthook, sys.unraisablehook, sys.displayhook, threading.excepthook),
        "umask": umask,
        "limits": {kind: resource.getrlimit(kind) for kind in (resource.RLIMIT_CORE, resource.RLIMIT_NOFILE)},
        "environment": dict(os.environ),
        "directory": os.getcwd(),  # noqa: PTH109
        "recursion": sys.getrecursionlimit(),
        "switching": sys.getswitchinterval(),
        "time zone": time.tzname,
        "structlog": (structlog.is_configured(), structlog.get_config()),
        "modules of others": sorted({"rich", "click", "uvloop", "opentelemetry"} & sys.modules.keys()),
    }


if __name__ == "__main__":
    with contextlib.suppress(ImportError):
        importlib.import_module("numpy")  # pyarrow imports it if it is installed, and it filters warnings
    before = state()
    from orchestrator import Secret, Settings, stop_all

    base_url, client_id, out, *keys = sys.argv[1:]
    settings = Settings(
        base_url=base_url, client_id=client_id, client_secret=Secret(os.environ["SECRET"]), out=out
    )
    report = asyncio.run(stop_all(keys, settings))
    assert len(report.actions) == len(keys)
    after = state()
    print(
        "\n".join(
            f"{name}: {before[name]} -> {after[name]}" for name in before if before[name] != after[name]
        ),
        end="",
    )
