"""Determine from a dask scheduler's address who can use it."""

from typing import Literal
from urllib.parse import urlsplit

from orchestrator.errors import UsageError
from orchestrator.settings.addresses import is_loopback

Reach = Literal["certificate", "machine", "network"]
"""The users of a scheduler: holders of a certificate, every user of this machine, or everyone on the network."""


def reach_of(address: str) -> Reach:
    """Return who can use the scheduler at ``address``. dask reads an address without a protocol as ``tcp://``."""
    protocol, separator, rest = address.partition("://")
    if not separator:
        protocol, rest = "tcp", address
    if protocol == "tls":
        return "certificate"
    try:
        host = urlsplit(f"//{rest}").hostname or ""
    except ValueError:
        host = ""
    return "machine" if protocol == "tcp" and is_loopback(host) else "network"


def refuse_open(what: str, address: str) -> None:
    """Raise UsageError, which starts with ``what``, if everyone on the network can use dask at ``address``."""
    if reach_of(address) == "network":
        raise UsageError(
            f"{what} {address} is not encrypted: everyone on its network can run code on the workers and read their "
            "secrets. Use scheduler and workers with TLS (tls://), or accept this with --insecure-scheduler."
        )
