"""The fixtures of the acceptance tests: the hunts too call the installed command."""

from tests.acceptance.conftest import anew, make_tenant, mass_stop, tenants

__all__ = ["anew", "make_tenant", "mass_stop", "tenants"]
