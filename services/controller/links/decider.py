"""When a tier moves to another parent, and when it goes back: decisions from facts, without I/O.

What counts is whether somebody above answers through the link. A link that is down is given a moment, since a server
that was only started again is back at once; a parent that is dead, hung or deaf is left for the first alternate that
answers; and the tier goes back when its own parent has been healthy for a while, and for a longer while each time that
it was not for long. A tier that finds nobody stays where it belongs, goes on by itself, and keeps trying.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

from leafnodes.probe import Health

#: Orphans of one parent do not all move in the same moment (seconds).
JITTER = 0.1
#: How long a server that answers may take to be linked again by itself, and a move to come to an answer.
PATIENCE, SETTLE = 1.0, 2.0
#: How long nobody above may answer through a link that is up, while the server at its other end is well: the tiers
#: there are busy, or only just started again.
DEAF = 3.0
#: For how long a place where nothing was to be had is left alone, at first and at most; doubled each time.
PENALTY, LONGEST_PENALTY = 10.0, 300.0
#: After how long a link that stays away although the parent answers is made anew, and then the server started again.
RELOAD_AFTER, RESTART_AFTER = 3.0, 20.0
#: And between two attempts to make it anew after that.
RELOAD_EVERY = 300.0
#: Between two looks: while a move is under way, and while there is nowhere to go.
SOON, LATER = 0.02, 0.5
#: The healthy time grows up to so many times, and is forgotten after so many times of quiet.
MOST_DAMPED, QUIET = 32, 10


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known at `now` (monotonic). `linked` is the place by which the link leads up, `answered` whether somebody
    at its other end or above was heard a moment ago. `health` is what probes found, by place, `parent` how the tier's
    own parent is in the eyes of others: online, offline or drained. `relays` are the alternates that only pass bytes on
    to that parent."""

    now: float
    linked: str | None
    answered: bool
    alternates: Sequence[str] = ()
    health: Mapping[str, Health] = field(default_factory=dict)
    parent: str | None = None
    relays: Set[str] = frozenset()

    def answers(self, path: str) -> bool:
        """Whether a server was found there."""
        return self.health.get(path, Health.UNKNOWN).answers


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done: attach to `move`, make the link anew (`reload`), start the server again (`restart`), or
    nothing. `why` is for people; `again` when to look again at the latest (seconds, None: when there is news)."""

    move: str | None = None
    reload: bool = False
    restart: bool = False
    why: str = ""
    again: float | None = None


@dataclass(slots=True)
class _Place:
    """A place that was tried in vain."""

    until: float = 0.0
    failures: int = 0


class Decider:
    """The mind of one link. `home` is where the tier belongs, `at` where it is attached, or on its way to."""

    def __init__(
        self, home: str, fallback_after: float, rng: random.Random | None = None, *, at: str | None = None
    ) -> None:
        self.home = home
        self.at = at or home
        self.why = ""
        #: How often it was moved.
        self.moves = 0
        self._fallback_after = fallback_after
        self._random = rng or random.Random()
        self._tried_since: float | None = None
        self._lost_since: float | None = None
        self._leave_at = 0.0
        self._good_since: float | None = None
        self._home_since: float | None = None
        self._damping = 1
        self._healed = 0
        self._avoided: dict[str, _Place] = {}
        self._wanted = False

    def prefer(self, home: str) -> None:
        """It belongs there from now on, and goes there as soon as somebody answers there."""
        if home != self.home:
            self.home, self._wanted = home, True
            self._avoided.pop(home, None)

    @property
    def settled(self) -> bool:
        """Whether it is where it was sent, and was heard there."""
        return self._tried_since is None and self._lost_since is None

    @property
    def healthy_time(self) -> float:
        """For how long its own parent must be healthy before it goes back (seconds)."""
        return self._fallback_after * self._damping

    def decide(self, facts: Facts) -> Order:
        """What to do now."""
        if facts.linked == self.at and facts.answered:
            return self._well(facts)
        self._good_since = None
        if self.is_under_way(facts.now):
            return Order(again=SOON)
        if self._tried_since is not None:
            self._avoid(self.at, facts.now)
            self._tried_since = None
        return self._lost(facts)

    def is_under_way(self, now: float) -> bool:
        """Whether it was sent somewhere a moment ago: where else it could go does not matter now."""
        return self._tried_since is not None and now - self._tried_since < SETTLE

    def finds_none(self, facts: Facts) -> bool:
        """Whether there is nowhere else to go."""
        return self._choice(facts) is None

    def refused(self, now: float) -> None:
        """The tier to which it is attached does not let it stay."""
        self._avoid(self.at, now)
        self._tried_since = None
        self._lost_since = self._leave_at = now

    # -- well --------------------------------------------------------------------------------------

    def _well(self, facts: Facts) -> Order:
        if self._tried_since is not None:
            self._tried_since = None
            self._home_since = facts.now if self.at == self.home else None
        self._lost_since = None
        self._healed = 0
        self._avoided.pop(self.at, None)
        if facts.parent == "drained" and self._ends_at_home(self.at, facts):
            choice = self._choice(facts)
            if choice is not None:
                return self._move(choice, facts.now, f"{self.home} is in maintenance")
            return Order(again=LATER)
        return self._at_home(facts) if self.at == self.home else self._away(facts)

    def _at_home(self, facts: Facts) -> Order:
        if self._home_since is not None and facts.now - self._home_since > QUIET * self.healthy_time:
            self._damping, self._home_since = 1, None
        self._wanted = False
        return Order()

    def _away(self, facts: Facts) -> Order:
        """Its own parent is watched, by itself and by those above, who know whether it reaches them."""
        if not facts.answers(self.home) or facts.parent in ("offline", "drained") or self._is_avoided(self.home, facts):
            self._good_since = None
        elif self._wanted:
            return self._move(self.home, facts.now, "it was told to")
        elif self._good_since is None:
            self._good_since = facts.now
        elif facts.now - self._good_since >= self.healthy_time:
            return self._move(self.home, facts.now, f"{self.home} is healthy again")
        return Order(again=min(LATER, self.healthy_time / 4))

    # -- lost --------------------------------------------------------------------------------------

    def _lost(self, facts: Facts) -> Order:
        now = facts.now
        if self._lost_since is None:
            self._lost_since = now
            self._leave_at = now + self._random.uniform(0, JITTER)
            self._flapped(now)
        gone = now - self._lost_since
        patience = PATIENCE if facts.linked is None else DEAF
        if facts.answers(self.at) and gone < patience and not self._is_avoided(self.at, facts):
            return Order(again=SOON if facts.linked is None else LATER / 2)
        if now < self._leave_at:
            return Order(again=self._leave_at - now)
        choice = self._choice(facts)
        if choice is not None:
            return self._move(choice, now, self._reason(facts))
        if self.at != self.home and facts.linked is None:
            return self._move(self.home, now, "no alternate answers")
        return self._heal(facts, gone)

    def _flapped(self, now: float) -> None:
        """A parent that did not stay healthy must be so for longer the next time."""
        if self._home_since is not None:
            self._damping = min(MOST_DAMPED, self._damping * 2)
            self._home_since = None

    def _choice(self, facts: Facts) -> str | None:
        """The first place that answers and was not tried in vain lately: home before all others."""
        for path in (self.home, *facts.alternates):
            is_drained = facts.parent == "drained" and self._ends_at_home(path, facts)
            if path != self.at and facts.answers(path) and not is_drained and not self._is_avoided(path, facts):
                return path
        return None

    def _ends_at_home(self, path: str, facts: Facts) -> bool:
        """Whether this place leads to its own parent."""
        return path == self.home or path in facts.relays

    def _is_avoided(self, path: str, facts: Facts) -> bool:
        return path in self._avoided and self._avoided[path].until > facts.now

    def _heal(self, facts: Facts, gone: float) -> Order:
        """The link stays away although the parent answers: NATS itself can be stuck."""
        again = LATER if gone < 10 else 2 * LATER
        stuck = facts.linked is None and self.at == self.home and facts.answers(self.home)
        if not stuck or gone <= self._next_cure():
            return Order(again=again)
        self._healed += 1
        if self._healed == 2:
            return Order(restart=True, why="the link stays away although it was made anew", again=again)
        return Order(reload=True, why="the link stays away although the parent answers", again=again)

    def _next_cure(self) -> float:
        """How long the link must have been away for the next cure: a server is started again only once, since those
        below it notice that."""
        return (RELOAD_AFTER, RESTART_AFTER)[self._healed] if self._healed < 2 else RELOAD_EVERY * (self._healed - 1)

    def _move(self, path: str, now: float, why: str) -> Order:
        self.at, self.why = path, why
        self._wanted = self._wanted and path != self.home
        self.moves += 1
        self._tried_since = now
        self._good_since = None
        return Order(move=path, why=why, again=SOON)

    def _avoid(self, path: str, now: float) -> None:
        place = self._avoided.setdefault(path, _Place())
        pause = min(LONGEST_PENALTY, PENALTY * 2**place.failures)
        place.until = now + pause * self._random.uniform(0.8, 1.2)
        place.failures += 1

    def _reason(self, facts: Facts) -> str:
        found = facts.health.get(self.at, Health.UNKNOWN)
        if self.at in facts.relays and facts.linked is None:
            return f"{self.at} passes the link on no more"
        if facts.linked is not None:
            return f"nobody answers through {self.at}" + (", which is hung" if found is Health.HUNG else "")
        return f"{self.at} is {'away' if found is Health.UNKNOWN else found.value}"
