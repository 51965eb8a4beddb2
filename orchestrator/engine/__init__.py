"""A key's journey, the gate to every call, how a run ends early, retry and guards."""
