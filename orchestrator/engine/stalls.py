"""Calls that hang: noticed long before they time out, and sent again when the tenant answers."""

import asyncio
from math import inf

from msgspec import Struct

from orchestrator.clock import Clock
from orchestrator.engine.gate import Gate
from orchestrator.engine.hedge import Hedging
from orchestrator.engine.outage import Outage
from orchestrator.pacing.pacer import Pacer

CHECK = 0.1
"""Seconds between two checks."""


class StallWatch(Struct, eq=False):
    """Looks at the calls in flight of one tenant.

    If all of them hang, there is an outage, and probes start. If no call waits to be the next probe, the one that
    hangs longest is sent once more. After an outage, the calls that still hang are sent once more.
    """

    _gate: Gate
    _pacer: Pacer
    _outage: Outage
    _hedging: Hedging
    _clock: Clock

    async def run(self) -> None:
        """Check until cancelled."""
        seen = -inf
        while True:
            await asyncio.sleep(CHECK)
            now, hung_before = self._clock.now(), self._pacer.written_off
            if self._gate.stalled:
                self._outage.stalled()
                self._gate.pump()
            elif self._pacer.circuit.open:
                if now >= self._pacer.circuit.next_probe_at + CHECK:
                    self._hedging.resend(now, most=1)
            elif hung_before > seen:
                self._hedging.resend(hung_before)
                seen = hung_before
