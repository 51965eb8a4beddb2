"""The fixtures of the acceptance tests, for the command beside this Python, which has dask."""

from tests.acceptance.conftest import here, make_tenant, tenants

__all__ = ["here", "make_tenant", "tenants"]
