"""The client of the tenant's API: calls, token, responses and response files."""
