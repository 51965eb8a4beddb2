"""Loaded by each worker process of a local cluster as it starts (dask's ``preload``)."""

import signal

# Ctrl-C reaches every process of the terminal. What it means is for the caller to say, who lets the shards drain.
signal.signal(signal.SIGINT, signal.SIG_IGN)
