"""Whom the client trusts: the certificates of the machine, read when a tenant is first called over TLS."""

import os
import ssl
from functools import cache

_NO_CERTIFICATES = {"SSL_CERT_FILE": os.devnull, "SSL_CERT_DIR": os.devnull}


def context_for(address: str) -> ssl.SSLContext | bool:
    """What aiohttp is to verify ``address`` with. Plain HTTP, allowed on loopback alone, needs no certificates."""
    return _context() if address.startswith("https:") else True


@cache
def _context() -> ssl.SSLContext:
    """One for all clients: to read the machine's certificates takes 30 ms."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(("http/1.1",))
    return context


def import_aiohttp() -> None:
    """Imports aiohttp without the certificates that it reads twice as it is imported, 60 ms before the first stop.

    For a process that is all ours, whose calls go through :func:`context_for`: a program that embeds the product may
    count on the contexts of aiohttp's own.
    """
    before = {name: os.environ.get(name) for name in _NO_CERTIFICATES}
    os.environ.update(_NO_CERTIFICATES)
    try:
        import aiohttp  # noqa: F401
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
