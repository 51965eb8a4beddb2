"""The fixtures of the acceptance tests: a hunt calls the same command at the same simulated tenant."""

from tests.acceptance.conftest import anew, make_tenant, mass_stop, tenant, tenants

__all__ = ["anew", "make_tenant", "mass_stop", "tenant", "tenants"]
