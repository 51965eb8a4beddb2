"""Which secrets reach the workers, and how."""

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress

from orchestrator.errors import UsageError
from orchestrator.settings import Settings
from orchestrator.settings.tenants import (
    Tenant,
    secret_variables,
    tenant_of,
    tenant_with_credentials,
    with_credentials,
)


def tenants_for_workers(tenants: Mapping[str, Tenant], settings: Settings) -> Mapping[str, Tenant]:
    """Return ``tenants``, or the one tenant of ``settings``, as the workers get them.

    Workers of this machine get the credentials. Workers elsewhere read them from their own variables and files.

    Raises UsageError for workers elsewhere if a program holds a secret.
    """
    if settings.scheduler is None:
        complete = {name: _complete(name, tenant, settings) for name, tenant in tenants.items()}
        return complete or {"": tenant_with_credentials(settings)}
    if any(tenant != tenant.portable for tenant in tenants.values()):
        raise UsageError(
            "A secret that a program holds is not sent to a scheduler elsewhere: with --scheduler, name an "
            "environment variable or a file of the workers."
        )
    return tenants or {"": tenant_of(settings)}


def _complete(name: str, tenant: Tenant, settings: Settings) -> Tenant:
    """Return ``tenant`` with its credentials. If they cannot be read, its shard reports the reason."""
    with suppress(UsageError):
        return with_credentials(name, tenant, settings)
    return tenant


def environment_without_secrets(tenants: Iterable[Tenant]) -> dict[str, str]:
    """Return the environment for the workers of this machine."""
    secret = secret_variables(tenants)
    return {name: value for name, value in os.environ.items() if name not in secret}
