"""Which secrets reach the workers, and how."""

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress

from msgspec import structs

from orchestrator.errors import UsageError
from orchestrator.settings import Settings
from orchestrator.settings.tenants import Tenant, settings_of

_PLACES = ("client_id_env", "client_secret_env", "client_secret_file", "token_env", "token_file")
_VARIABLES = {"ZUORA_CLIENT_SECRET", "ZUORA_TOKEN", "MASS_STOP_PROXY"}


def tenants_for_workers(tenants: Mapping[str, Tenant], settings: Settings) -> Mapping[str, Tenant]:
    """Return ``tenants``, or the one tenant of ``settings``, as the workers get them.

    Workers of this machine get the credentials. Workers elsewhere read them from their own variables and files.

    Raises UsageError for workers elsewhere if a program holds a secret.
    """
    local = settings.scheduler is None
    if not tenants:
        tenant = Tenant(base_url=settings.address, entity_id=settings.entity_id, org_ids=settings.org_ids)
        return {"": _with_secrets(tenant, settings) if local else _with_places(tenant, settings)}
    if local:
        return {name: _complete(name, tenant, settings) for name, tenant in tenants.items()}
    if any(tenant.client_secret or tenant.token for tenant in tenants.values()):
        raise UsageError(
            "A secret that a program holds is not sent to a scheduler elsewhere: with --scheduler, name an "
            "environment variable or a file of the workers."
        )
    return tenants


def _complete(name: str, tenant: Tenant, settings: Settings) -> Tenant:
    """Return ``tenant`` with its credentials. If they cannot be read, its shard reports the reason."""
    with suppress(UsageError):
        return _with_secrets(tenant, settings_of(name, tenant, settings))
    return tenant


def _with_secrets(tenant: Tenant, settings: Settings) -> Tenant:
    """Return ``tenant`` with the credentials of ``settings`` in place of the variables and files that hold them."""
    return structs.replace(
        tenant, client_id=settings.client_id, client_secret=settings.client_secret, token=settings.token,
        **dict.fromkeys(_PLACES),
    )  # fmt: skip


def _with_places(tenant: Tenant, settings: Settings) -> Tenant:
    """Return ``tenant`` with the variables and files in which a worker finds its credentials."""
    if settings.token is not None:
        file = settings.token_file
        return structs.replace(tenant, token_file=file, token_env=None if file else "ZUORA_TOKEN")
    file = settings.client_secret_file
    variable = None if file else "ZUORA_CLIENT_SECRET"
    return structs.replace(
        tenant, client_id=settings.client_id, client_secret_file=file, client_secret_env=variable
    )


def environment_without_secrets(tenants: Iterable[Tenant]) -> dict[str, str]:
    """Return the environment for the workers of this machine."""
    secret = _VARIABLES.union(*((tenant.client_secret_env, tenant.token_env) for tenant in tenants))
    return {name: value for name, value in os.environ.items() if name not in secret}
