"""The fixtures of the acceptance tests: the hunts call the installed command as well."""

from tests.acceptance.conftest import make_tenant, mass_stop, started, tenants

__all__ = ["make_tenant", "mass_stop", "started", "tenants"]
