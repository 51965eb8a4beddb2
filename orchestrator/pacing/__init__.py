"""The pace of one tenant: slots, rate windows and gate. Arithmetic with the time as an argument; no I/O, no waiting."""
