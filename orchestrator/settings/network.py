"""The network route to the tenant: the proxy, and the trusted certificates."""

import os
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from orchestrator.errors import UsageError
from orchestrator.settings.addresses import is_loopback
from orchestrator.settings.declared import SETTINGS, Settings
from orchestrator.settings.forms import Secret
from orchestrator.settings.text import from_variable, is_unset


class Proxy(Struct, frozen=True):
    """An HTTP proxy. ``url`` contains no credentials; ``credentials`` is the decoded ``user:password``.

    ``origin`` is ``--proxy``, for any source of that setting, or ``HTTPS_PROXY``.
    """

    url: str
    origin: str
    credentials: Secret | None = None

    @property
    def variable(self) -> str:
        """The environment variable that may contain this proxy's address with credentials."""
        return "MASS_STOP_PROXY" if self.origin == "--proxy" else self.origin


class Route(Struct, frozen=True):
    """The route to ``host``: through ``proxy``, or direct. ``unused`` explains why a configured proxy is not used."""

    host: str = "the tenant"
    proxy: Proxy | None = None
    unused: str | None = None


DIRECT = Route()


def split_proxy(url: str) -> tuple[str, Secret | None]:
    """Split the proxy address ``url``. Return it without credentials, and the decoded ``user:password`` or None."""
    scheme, _, rest = url.partition("://")
    userinfo, at, place = rest.rpartition("@")
    user, _, password = userinfo.partition(":")
    return f"{scheme}://{place}", Secret(f"{unquote(user)}:{unquote(password)}") if at else None


def route_to(settings: Settings) -> Route:
    """Return the route to the tenant of ``settings``, through its proxy or the one in ``HTTPS_PROXY``.

    ``NO_PROXY`` can exclude a host from ``HTTPS_PROXY``. Plain http:// addresses and loopback hosts are always called
    directly. Raises SettingError if the proxy address in ``HTTPS_PROXY`` is invalid.
    """
    address = urlsplit(settings.address)
    host = address.hostname or ""
    if address.scheme != "https" or is_loopback(host):
        return Route(host)
    if settings.proxy is not None:
        credentials = settings.proxy_credentials or _credentials_for(settings.proxy)
        return Route(host, Proxy(settings.proxy, "--proxy", credentials))
    from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

    proxies = getproxies_environment()
    if is_unset(proxies.get("https", "")):
        return Route(host, unused=_unused(proxies))
    if proxy_bypass_environment(f"{host}:{address.port or 443}", proxies):
        return Route(host, unused=f"NO_PROXY excludes {host} from the proxy in HTTPS_PROXY.")
    url, credentials = _read(proxies["https"], "HTTPS_PROXY")
    return Route(host, Proxy(url, "HTTPS_PROXY", credentials))


def _unused(proxies: dict[str, str]) -> str | None:
    name = next((f"{scheme.upper()}_PROXY" for scheme in ("http", "all") if scheme in proxies), None)
    return name and f"{name} is not used for https:// addresses; set HTTPS_PROXY or --proxy."


def _credentials_for(proxy: str) -> Secret | None:
    """Return credentials for ``proxy`` from the environment. Journal and dask workers receive only the proxy's URL."""
    value = os.environ.get("MASS_STOP_PROXY", "")
    if is_unset(value):
        return None
    url, credentials = _read(value, "MASS_STOP_PROXY")
    return credentials if url == proxy else None


def _read(value: str, variable: str) -> tuple[str, Secret | None]:
    return split_proxy(SETTINGS["proxy"].read(from_variable(value), variable))


@cache
def check_ca_file(path: str) -> None:
    """Raise UsageError unless the file ``path`` contains at least one certificate in PEM format."""
    import ssl

    try:
        Path(path).read_bytes()
        store = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        store.load_verify_locations(cafile=path)
        good = bool(store.cert_store_stats()["x509"])
    except ssl.SSLError:
        good = False
    except OSError as error:
        raise UsageError(f"--ca-file: {path} cannot be read: {error.strerror}.") from None
    if not good:
        raise UsageError(f"--ca-file: {path} contains no certificate in PEM form.")
