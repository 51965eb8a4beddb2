"""The tenants of one session: one, or several at once in this process."""
