"""What kind of tenant an address is, in words: nobody should stop production by mistake."""

from urllib.parse import urlsplit

from msgspec import Struct

from orchestrator.settings import ENVIRONMENTS, is_loopback


class TenantKind(Struct, frozen=True):
    """``production`` is what must be taken for production; ``text`` says what is known."""

    production: bool
    text: str


def kind_of_tenant(address: str) -> TenantKind:
    """What ``address`` (a base URL) is known as. One that nobody knows is taken for production."""
    parts = urlsplit(address)
    if is_loopback(parts.hostname):
        return TenantKind(False, "on this machine: a simulated tenant, or a tunnel")
    name = next((name for name, url in ENVIRONMENTS.items() if _place(url) == _place(address)), None)
    if name is None:
        return TenantKind(True, "taken for it: this address is none of Zuora's known data centres")
    if name.endswith("-prod"):
        return TenantKind(True, name)
    return TenantKind(False, f"{name}: no production")


def _place(address: str) -> tuple[str | None, int]:
    parts = urlsplit(address)
    return parts.hostname, parts.port or 443
