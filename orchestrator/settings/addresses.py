"""The normal form of tenant addresses, and the decision which of them are production."""

import ipaddress
import re
from urllib.parse import unquote, urlsplit

from msgspec import Struct

ENVIRONMENTS = {
    "us1-prod": "https://rest.na.zuora.com",
    "us2-prod": "https://rest.zuora.com",
    "eu-prod": "https://rest.eu.zuora.com",
    "ap-prod": "https://rest.ap.zuora.com",
    "us-test": "https://rest.test.zuora.com",
    "eu-test": "https://rest.test.eu.zuora.com",
    "ap-test": "https://rest.test.ap.zuora.com",
    "us1-sandbox": "https://rest.sandbox.na.zuora.com",
    "us2-sandbox": "https://rest.apisandbox.zuora.com",
    "eu-sandbox": "https://rest.sandbox.eu.zuora.com",
}
"""Zuora's data centres by name (Zuora API reference, "Access endpoint URLs"), in normal form."""

_DEFAULT_PORTS = {"https": 443, "http": 80}


class TenantKind(Struct, frozen=True):
    """The data centre and the kind of an address.

    ``environment`` is the name of Zuora's data centre, or None. ``production`` is True for every address that must be
    treated as production. ``text`` describes the kind to the operator.
    """

    environment: str | None
    production: bool
    text: str

    @property
    def label(self) -> str | None:
        """The kind in two or three words for a report; None for a loopback address."""
        if self.environment is None:
            return "treated as production" if self.production else None
        return f"{self.environment}, production" if self.production else self.environment


def normal_address(text: str) -> str:
    """Return the normal form of a base URL. All spellings of one tenant's address have the same normal form.

    Scheme and host are in lower case. The default port, empty and ``.`` path segments, trailing slashes and a trailing
    ``/v1`` are removed. Any other path remains as a prefix.

    Raises:
        ValueError: the text is not an https address. Plain http is allowed for loopback addresses only.
    """
    text = text.strip()
    # urlsplit removes line breaks. A user, a query or a fragment, even if empty, would change the target of calls.
    if not re.fullmatch(r"[!-~]+", text) or any(sign in text for sign in "@?#\\"):
        raise ValueError(text)
    parts = urlsplit(text)
    scheme, host = parts.scheme, _normal_host(parts.hostname or "")
    if scheme != "https" and not (scheme == "http" and is_loopback(parts.hostname)):
        raise ValueError(text)
    if parts.port == 0:
        raise ValueError(text)
    port = "" if parts.port in (None, _DEFAULT_PORTS[scheme]) else f":{parts.port}"
    segments = [segment for segment in parts.path.split("/") if segment not in ("", ".")]
    if ".." in segments:
        raise ValueError(text)
    if segments[-1:] == ["v1"]:
        segments.pop()
    return "/".join([f"{scheme}://{host}{port}", *segments])


def same_address(one: str, other: str) -> bool:
    """Return whether two base URLs have the same normal form. Journals of earlier versions store other forms."""
    try:
        return normal_address(one) == normal_address(other)
    except ValueError:
        return one == other


def normal_proxy(text: str) -> str:
    """Return the normal form of a proxy address, with its credentials. A missing scheme means ``http``, as in curl.

    Raises ValueError for another scheme, a path, or a user name with a colon.
    """
    text = text.strip()
    if not re.fullmatch(r"[!-~]+", text):
        raise ValueError(text)
    parts = urlsplit(text if "://" in text else f"http://{text}")
    userinfo, at, _ = parts.netloc.rpartition("@")
    if parts.path.strip("/") or parts.query or parts.fragment or ":" in unquote(userinfo.partition(":")[0]):
        raise ValueError(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError(text)
    port = "" if parts.port is None else f":{parts.port}"
    return f"{parts.scheme}://{userinfo}{at}{_normal_host(parts.hostname)}{port}"


def _normal_host(host: str) -> str:
    if "%" in host:  # a percent escape, or the zone of a link-local address
        raise ValueError(host)
    if ":" in host:
        return f"[{ipaddress.IPv6Address(host).compressed}]"
    host = host.removesuffix(".")
    if not re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*", host):
        raise ValueError(host)
    return host


def is_loopback(host: str | None) -> bool:
    """Return whether ``host`` is this machine, so that plain HTTP does not leave it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def kind_of_tenant(address: str) -> TenantKind:
    """Return data centre and kind of ``address``. An address that is neither Zuora's nor loopback counts as production.

    No other function decides whether an address is production. A path prefix does not matter; a port other than 443
    does.
    """
    try:
        address = normal_address(address)
    except ValueError:
        return TenantKind(None, True, "treated as production: this address is not usable")
    parts = urlsplit(address)
    if is_loopback(parts.hostname):
        return TenantKind(None, False, "on this machine: a simulated tenant, or a tunnel")
    place = f"{parts.scheme}://{parts.netloc}"
    environment = next((name for name, known in ENVIRONMENTS.items() if known == place), None)
    if environment is None:
        return TenantKind(None, True, "unknown address: treated as PRODUCTION")
    if environment.endswith("-prod"):
        return TenantKind(environment, True, environment)
    return TenantKind(environment, False, f"{environment}: not production")
