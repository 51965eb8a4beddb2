"""The fixtures of the acceptance tests: the hunts too call the installed command."""

from tests.acceptance.conftest import make_tenant, mass_stop, started, tenants

__all__ = ["make_tenant", "mass_stop", "started", "tenants"]
