"""The fixtures of the acceptance tests: a hunt calls the same command with the same simulated tenant."""

from tests.acceptance.conftest import make_tenant, mass_stop, started, tenant, tenants

__all__ = ["make_tenant", "mass_stop", "started", "tenant", "tenants"]
