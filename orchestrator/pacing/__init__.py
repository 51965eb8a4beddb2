"""The pace of one tenant: slots, rate windows and pauses. Arithmetic only; the time is an argument."""
