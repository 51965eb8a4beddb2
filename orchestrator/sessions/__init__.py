"""What a run works on during one session: one tenant, or several at once in this process."""
