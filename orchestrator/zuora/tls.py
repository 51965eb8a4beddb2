"""Which certificates the client trusts. They are read when a tenant is first called over TLS."""

import os
import ssl
from functools import cache

_NO_CERTIFICATES = {"SSL_CERT_FILE": os.devnull, "SSL_CERT_DIR": os.devnull}


def context_for(address: str, ca_file: str | None) -> ssl.SSLContext | bool:
    """The certificates that aiohttp verifies ``address`` with: those of ``ca_file`` (PEM), or the system's.

    Plain http:// (loopback only) needs none.
    """
    if not address.startswith("https:"):
        return True
    return _context(ca_file, os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@cache
def _context(ca_file: str | None, *_: str | None) -> ssl.SSLContext:
    """One context for all clients of the same certificates: reading the system's takes 30 ms."""
    context = ssl.create_default_context(cafile=ca_file)
    context.set_alpn_protocols(("http/1.1",))
    return context


def import_aiohttp() -> None:
    """Imports aiohttp without the certificates that it reads twice as it is imported, 60 ms before the first stop.

    Only for a process of our own, whose calls go through :func:`context_for`. A program that embeds the product may
    need aiohttp's own contexts.
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
