"""The run: lanes, the journey of a key, guards, and what follows a failure."""
