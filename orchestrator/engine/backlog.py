"""The keys of one tenant that are not completed: how many, and where they are."""

import asyncio

from orchestrator.action import Action, Step

ROOM = 2_500
"""Actions in memory that are polled or fetched, about four kilobytes each. More are parked in the journal."""


class Backlog:
    """Counts that the session, the gate and the journeys of one tenant share.

    Attributes:
        waiting: keys in the journal to which no stop was sent.
        claiming: keys are on their way from the journal to the gate.
        input_open: more keys may be read. The session closes it.
        parked: keys in the journal that are to be polled or fetched.
        active: the actions in memory, by their number in the journal.
        released: keys that returned to the journal because the session ends, by step.
        changed: set whenever the session may have something to do.
    """

    def __init__(self, waiting: int = 0, parked: int = 0) -> None:
        self.waiting = waiting
        self.parked = parked
        self.claiming = False
        self.input_open = True
        self.active: dict[int, Action] = {}
        self.released = dict.fromkeys(Step, 0)
        self.changed = asyncio.Event()
        self._by_step = dict.fromkeys(Step, 0)

    def add(self, action: Action) -> None:
        """Take ``action`` into memory."""
        self.active[action.seq] = action
        self._by_step[action.step] += 1

    def move(self, action: Action, step: Step) -> None:
        """Set ``action.step``, and count the action there."""
        self._by_step[action.step] -= 1
        self._by_step[step] += 1
        action.step = step

    def remove(self, action: Action) -> None:
        """Forget ``action``: it is completed, parked or released."""
        del self.active[action.seq]
        self._by_step[action.step] -= 1
        if not self.active or self.should_claim_parked:
            self.changed.set()

    @property
    def unsent(self) -> int:
        """Keys for which no stop was accepted and whose status does not decide yet."""
        return self.waiting + self._by_step[Step.STOP] + self.released[Step.STOP]

    @property
    def stops_left(self) -> bool:
        """Whether a stop may still have to be sent: keys wait for one, or may still be read."""
        return self.input_open or self.unsent > 0

    @property
    def followed(self) -> int:
        """Actions in memory that are polled or fetched."""
        return self._by_step[Step.POLL] + self._by_step[Step.FETCH]

    @property
    def room(self) -> int:
        """How many more actions memory holds for polling and fetching."""
        return ROOM - self.followed

    @property
    def should_claim_parked(self) -> bool:
        """Whether parked actions are to be claimed: half of the room is free."""
        return self.parked > 0 and self.followed < ROOM // 2

    @property
    def unread(self) -> int:
        """Keys whose end was not seen. A key of which only the file is missing is not among them."""
        return self.unsent + self._by_step[Step.POLL] + self.parked
