"""The tenant: its calls, its token, its answers and its response files."""
