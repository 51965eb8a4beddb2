"""The certificates that the client trusts. They are loaded at the first call over TLS."""

import os
import ssl
from functools import cache

_NO_CERTIFICATES = {"SSL_CERT_FILE": os.devnull, "SSL_CERT_DIR": os.devnull}


def context_for(address: str, ca_file: str | None) -> ssl.SSLContext | bool:
    """Return aiohttp's ``ssl`` argument for ``address``: it trusts ``ca_file`` (PEM), or the system's certificates.

    Plain http:// (loopback only) needs no certificates.
    """
    if not address.startswith("https:"):
        return True
    return _context(ca_file, os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@cache
def _context(ca_file: str | None, *_: str | None) -> ssl.SSLContext:
    """Create one context per set of certificates. Loading the system's certificates takes 30 ms."""
    context = ssl.create_default_context(cafile=ca_file)
    context.set_alpn_protocols(("http/1.1",))
    return context


def import_aiohttp() -> None:
    """Import aiohttp without the system's certificates, which it loads twice. They would delay the first stop by 60 ms.

    Only the process of the command may do this: its calls use :func:`context_for`. A program that embeds the product
    may need aiohttp's own contexts.
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
