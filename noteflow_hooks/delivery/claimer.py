"""What a worker takes next: due deliveries of open endpoints, and what the others have in their turns."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

from noteflow_hooks.delivery.wake_ups import WakeUpDebouncer
from noteflow_hooks.domain.ports.delivery_store import SchedulingSlot

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from noteflow_hooks.domain.deliveries import Claim
    from noteflow_hooks.domain.ports.delivery_store import Claimed, DeliveryStore

#: So many named deliveries are somebody's fresh events; more are a backlog's, and whoever takes that takes them too.
_FEW: Final = 10
#: While endpoints wait for their turn, the part of a chunk that is theirs.
_TURNS_PART: Final = 4


#: How often to look for turns that somebody else holds at this moment, how long to wait between, and when to look
#: again after that.
_PATIENCE: Final = 4
_PAUSE_S: Final = 0.004
_SOON: Final = SchedulingSlot(timedelta(milliseconds=20), slow=False)
#: So many tasks that go on keep a process busy; a hint to itself would cost it as much as ten deliveries.
_ENOUGH: Final = 2


class Hint(Protocol):
    """What hints at deliveries again: at these ones, or with none at the turns that a lane has."""

    def __call__(self, wait: timedelta, delivery_ids: list[UUID], *, slow: bool = False) -> None:
        """Hint after the wait; it must not raise, and may leave out a hint that would only join a long queue."""
        ...


def no_hint(wait: timedelta, delivery_ids: list[UUID], *, slow: bool = False) -> None:
    """Be nobody's hint: the sweep finds what it would have told of."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What one round took."""

    claims: list[Claim]
    #: Whether another round may find more.
    more: bool
    #: Whether that one need look at turns only.
    turns_only: bool = False
    #: Whether there was no room for all of the named ones, so that some of them may be left.
    named_left: bool = False


class Claimer:
    """Takes deliveries for all tasks of a process."""

    def __init__(
        self,
        store: DeliveryStore,
        *,
        lease_slack: timedelta,
        countdown_max: timedelta,
        sleep: Callable[[float], None],
        monotonic: Callable[[], float],
        loops: Callable[[], int] = lambda: 0,
    ) -> None:
        """``countdown_max`` is the longest wait that is hinted at; the sweep sees to longer ones.

        ``loops`` tells how many tasks of this process take one chunk after the other at this moment.
        """
        self._store = store
        self._lease_slack = lease_slack
        self._countdown_max = countdown_max
        self._sleep = sleep
        self._hints = WakeUpDebouncer(monotonic)
        self._loops = loops
        #: Whether a turn came that nobody has looked for since, and that no hint was sent for.
        self._owes_a_look = False
        #: Whether turns were due when somebody last looked.
        self._turns_due = False

    def take(self, named: Sequence[UUID], *, size: int, hint: Hint, slow: bool, turns_only: bool = False) -> Taken:
        """Take up to ``size`` deliveries: the named ones, others that are due, and those of turns that are due.

        With ``slow`` only the slow lane's turns are taken.
        """
        if not size:
            return Taken([], more=False)
        if slow or turns_only:
            claims = list(self._turns(size, hint=hint, slow=slow))
            # Where nothing is left of turns, a look at all the rest follows.
            return Taken(claims, more=bool(claims) or not slow, turns_only=bool(claims))
        # A part is kept for endpoints that wait for their turn, or those that don't would leave them nothing.
        limit = max(1, size - size // _TURNS_PART) if self._turns_due else size
        claimed = self._store.claim(named, limit=limit, lease_slack=self._lease_slack)
        self._turns_due = claimed.slots_due
        if claimed.slow_slots_due:
            hint(timedelta(0), [], slow=True)
        full = len(claimed) + claimed.throttled >= limit
        if claimed.passed_over:
            self._hint_again(named, claimed, full=full, hint=hint)
        claims, room = list(claimed), size - len(claimed)
        turned = self._due_turns(room, hint=hint) if claimed.slots_due and room else []
        # The named ones come first: where others were taken, nothing is left of them that is due and free.
        named_left = full and {each.delivery.id for each in claimed}.issubset(named)
        return Taken(claims + turned, more=full or bool(turned), turns_only=not full, named_left=named_left)

    def _hint_again(self, named: Sequence[UUID], claimed: Claimed, *, full: bool, hint: Hint) -> None:
        """Hint at what was passed over, soon: whoever is busy with its endpoint now is so for a moment only."""
        if len(named) <= _FEW:
            taken = {each.delivery.id for each in claimed}
            hint(_SOON.wait, [each for each in named if each not in taken])
        elif not full:
            # Of a backlog, each chunk passes over the same endpoints'. They have been due for the longest by then, so
            # that whoever tops up takes them first: one hint for all that this process has passed over.
            self.hint_at([_SOON], hint)

    def hint_at(self, turns: Sequence[SchedulingSlot], hint: Hint) -> None:
        """Hint at turns that come soon, unless another hint on its way serves them, or enough tasks go on anyway."""
        for turn in turns:
            if not (turn.wait or turn.slow) and self._loops() >= _ENOUGH:
                self._owes_a_look = True
                continue
            if turn.wait <= self._countdown_max and self._hints.is_wanted(turn):
                hint(turn.wait, [], slow=turn.slow)

    def leave(self, hint: Hint) -> None:
        """Have a task look for turns that others of this process were left to; for one that goes on no more."""
        if self._owes_a_look:
            self.hint_at([SchedulingSlot(timedelta(0), slow=False)], hint)

    def _due_turns(self, size: int, *, hint: Hint) -> list[Claim]:
        """Take turns that are due. Where somebody else is just taking them, wait a moment for what that leaves."""
        for _ in range(_PATIENCE):
            taken = self._turns(size, hint=hint, slow=False)
            if taken or not taken.passed_over:
                return list(taken)
            self._sleep(_PAUSE_S)
        self.hint_at([_SOON], hint)
        return []

    def _turns(self, size: int, *, hint: Hint, slow: bool) -> Claimed:
        if not slow:
            self._owes_a_look = False
        taken = self._store.claim_throttled(limit=size, slow=slow, lease_slack=self._lease_slack)
        # What could go on at once brings another task along: one alone would wait for its own receivers.
        self.hint_at(taken.slots, hint)
        return taken
