"""How fast: slots, rate windows and the gate of one tenant. Arithmetic on a given time; no I/O, no waiting."""
