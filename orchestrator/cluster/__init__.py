"""The dask engine: tenants spread over worker processes."""
