"""The same adversary, who also restores logs from backups of any earlier moment, and wipes them (DESIGN 6.8).

What no protocol can know is counted in `apart`, and is no violation: what was lost with every log that held it; what a
cluster does again because nobody could tell it that it is an old copy of itself; and what is in doubt, which a
person is shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from bus import paths, types
from bus.event import Event
from bus.paths import is_under
from bus.sync import Mark
from services.controller.delivery import lives
from services.controller.delivery.receiver import Receiver
from services.controller.delivery.submission import Target
from services.tier.mail import Mail, is_first, is_for_another_life, may_repeat
from store.api import Stream, TargetRow
from store.memory import MemoryLog
from tests.property.simulation import TREE, Job, Node, Simulation

SETTLED = frozenset(types.FINALS.values())


@dataclass
class Copy:
    """A backup: the log, and the commands that the local shim had carried out in it."""

    log: MemoryLog[Event]
    inside: set[str]


@dataclass
class State:
    """What a tier is beyond its log. `instance` counts its starts; it is `admitted` once an ancestor has answered;
    `greeted` says which start of which ancestor, `told` in which lives they and those below were, `heard` in which
    they are, and `late` of whom something of an earlier life, or a fork, has come since. It `waits`, and executes
    nothing, while its log was lost and is not back; `epoch` is its present life; `lost` says that a part may not have
    come back. While it is `blind` it is an old copy of itself, and nobody has told it; `twice` if it ever was. `losses`
    counts, and `ends` are marks of what was lost."""

    backups: list[Copy] = field(default_factory=list)
    instance: int = 0
    epoch: str = ""
    admitted: bool = True
    waits: bool = False
    lost: bool = False
    blind: bool = False
    twice: bool = False
    losses: int = 0
    ends: list[Mark] = field(default_factory=list)
    greeted: dict[str, tuple[int, str]] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)
    heard: dict[str, str] = field(default_factory=dict)
    late: dict[str, int] = field(default_factory=dict)


class Wants(NamedTuple):
    """What somebody asks back: what lies beyond what he holds, from a row of the other's log on; in which life of his
    own log and which start."""

    held: dict[Stream, int]
    after: int
    asked: tuple[int, str]


class Greeting(NamedTuple):
    """An ancestor that has answered, in which life of its log, and what it wants back."""

    ancestor: str
    life: tuple[int, str]
    wants: Wants | None


class Lives(Simulation):
    """One run. `seed` tells it all."""

    def __init__(self, seed: int, tree: Iterable[str] = TREE) -> None:
        super().__init__(seed, tree=tree)
        self.states = {path: State() for path in self.nodes}
        self.apart: Counter[str] = Counter()
        #: What was carried out by an old copy that did not know that it was one.
        self.blindly: set[tuple[str, str]] = set()
        for path, node in self.nodes.items():
            node.log = self._fresh(path)
        self.first = {path: node.log.epoch for path, node in self.nodes.items()}
        for path, epoch in self.first.items():
            self.states[path].epoch = epoch

    def _fresh(self, path: str) -> MemoryLog[Event]:
        return MemoryLog(path, epochs=self._epoch)

    def _epoch(self, above: str) -> str:
        count = int(above.partition(".")[0], 16) if above else 0
        return f"{count + 1:08x}.{self.rng.getrandbits(64):016x}"

    # -- losses ------------------------------------------------------------------------------------

    def back_up(self, node: Node) -> None:
        """A copy of what is committed, from which the log may be restored at any later time."""
        inside = {effect.command for effect in node.world if self.kinds.get(effect.command) == "local"}
        self.states[node.path].backups.append(Copy(node.log.copy(), inside))

    def lose(self, node: Node) -> None:
        """The log is replaced by an earlier copy of it, or is gone, and the tier starts on what is there. Its marker,
        which is not in the log, may have been replaced with it."""
        state, before = self.states[node.path], node.log
        before.crash()
        has_marker = self.rng.random() < 0.6
        copy = self.rng.choice([*state.backups, Copy(self._fresh(node.path), set())])
        node.log = copy.log.copy()
        state.epoch = node.log.epoch
        node.world = [e for e in node.world if self.kinds.get(e.command) != "local" or e.command in copy.inside]
        state.losses += 1
        end = before.query(lambda log: lives.marks_of(log, node.path))
        state.ends += end
        is_behind = node.log.query(lambda log: lives.look_at(log, end)).mark is not None
        # The marker has kept the last place alone.
        state.lost = has_marker and node.log.query(lambda log: lives.look_at(log, end[:1])).mark is not None
        # What was lost before that, and nobody has told of, is in no marker.
        ever = node.log.query(lambda log: lives.is_over(log, lives.look_at(log, state.ends)))
        state.blind = (is_behind or ever) and not state.lost
        state.twice |= state.blind
        if state.blind:
            self._still(node)
        # Who has no log waits for the word of an ancestor, also where nothing says that there was one.
        is_empty = node.log.query(lambda log: log.last_row()) == 0
        state.waits = state.lost or (is_empty and node.path != "root")
        self.crash(node)
        if state.lost:
            node.log.apply(lambda tx: lives.restored(tx, end[0]))
            self.commit(node)
            if node.path == "root":
                self._take_up(node)

    def _still(self, node: Node) -> None:
        """Until the machine is back on the old copy of its disk, what it had sent has come, or is lost."""
        sent = [message for message in self.bag if message.sender == node.path]
        self.bag = [message for message in self.bag if message.sender != node.path]
        for message in sent:
            if self.connected(message.sender, message.receiver) and self.rng.random() < 0.5:
                message.run()

    def crash(self, node: Node) -> None:
        node.log.crash()
        state = self.states[node.path]
        state.instance += 1
        state.greeted.clear()
        state.told.clear()
        state.heard.clear()
        state.late.clear()
        state.admitted = node.path == "root"
        node.jobs, node.effects = [], []
        node.receiver = Receiver(node.path, node.log.query(lambda log: log.cursors()))
        if not state.waits:
            self._take_up(node)
        self._take_stored(node)

    def _take_up(self, node: Node) -> None:
        """The host begins: with what was received and has no final, then with what came meanwhile."""
        came, node.jobs = node.jobs, []
        for row, event in node.log.query(lambda log: log.unfinished(node.path)):
            job = Job(event, resumed=True)
            if row.state == "started":
                self._say(node, job, types.IN_DOUBT, cause=event.id)
            else:
                node.jobs.append(job)
        known = {job.command for job in node.jobs}
        node.jobs += [job for job in came if job.command not in known]
        state = self.states[node.path]
        state.waits, state.lost = False, state.lost or state.waits

    def _look_again(self, node: Node) -> None:
        """What came back may be received and have no final."""
        if self.states[node.path].waits:
            return
        known = {job.command for job in node.jobs}
        for row, event in node.log.query(lambda log: log.unfinished(node.path)):
            job = Job(event, resumed=True)
            if row.command not in known and row.state == "started":
                self._say(node, job, types.IN_DOUBT, cause=event.id)
            elif row.command not in known:
                node.jobs.append(job)

    # -- what a tier does --------------------------------------------------------------------------

    def _addressee(self, node: Node, path: str) -> Target:
        latest = node.log.query(lambda log: log.latest_of(path))
        # Nobody sends to a cluster that has never announced itself.
        return Target(path, latest.epoch if latest is not None else self.first[path])

    def compact(self, node: Node) -> None:
        """Other runs do that."""

    def publish(self, node: Node, events: list[Event]) -> None:
        admitted = self.states[node.path].admitted
        super().publish(node, [e for e in events if admitted or e.type in types.MAIL])

    def _arrival(self, node: Node, event: Event) -> Callable[[], None]:
        arrive = super()._arrival(node, event)
        if is_under(event.source, node.path) and not self.states[event.source].admitted:
            # Who is not admitted says nothing to those above.
            return lambda: None
        is_from_above = is_under(node.path, event.source)

        def heard() -> None:
            if self.states[node.path].admitted or not is_from_above:
                arrive()

        return heard

    def record(self, node: Node, events: list[Event]) -> None:
        state = self.states[node.path]
        done = node.log.apply(lambda tx: tx.record(events))
        row = node.log.apply(lambda tx: tx.last_row())
        state.late.update((event.source, row) for event in done.new if event.epoch < state.told.get(event.source, ""))
        state.late.update((event.source, row) for event in done.forks if event.source != node.path)

    def _take(self, node: Node, mail: Mail) -> None:
        known = {job.command for job in node.jobs if not job.said}
        count = len(node.jobs)
        super()._take(node, mail)
        node.jobs[count:] = [job for job in node.jobs[count:] if job.command not in known]
        if mail.cover is None and mail.event is not None and not is_first(node.log.epoch):
            self._give_up(node, mail.event)

    def _give_up(self, node: Node, event: Event) -> None:
        """What this mail withdraws, and an earlier life had received, may have come back before its own mail."""
        kind = types.CANCELLED if event.type == types.CANCEL else types.SUPERSEDED
        withdrawn = {cover.command for cover in event.supersedes if cover.path == node.path}
        withdrawn |= {str(event.data["command"])} if event.type == types.CANCEL else set()
        withdrawn -= {job.command for job in node.jobs}
        for row, mail in node.log.apply(lambda tx: tx.unfinished(node.path)):
            if row.command in withdrawn and row.state == "received":
                self._say(node, Job(mail), kind, cause=event.id)

    def work(self, node: Node) -> None:
        state = self.states[node.path]
        if state.waits:
            return
        job = next((job for job in node.jobs if not job.said), None)
        if job is not None:
            if self._is_settled(node, job):
                job.said = True
                return
            is_old = is_for_another_life(job.event, node.path, node.log.epoch)
            if job.kind == "unsafe" and is_old and not job.running:
                self._say(node, job, types.IN_DOUBT, cause=job.event.id)
                return
            if state.blind:
                self.blindly.add((job.command, node.path))
        super().work(node)

    def _is_settled(self, node: Node, job: Job) -> bool:
        if not may_repeat(job.event, node.path, node.log.epoch):
            return False
        row: TargetRow | None = node.log.apply(lambda tx: tx.target(job.command, node.path))
        return row is not None and row.state in SETTLED

    # -- greetings ---------------------------------------------------------------------------------

    def tell(self, sender: str, receiver: str, run: Callable[[], None]) -> None:
        state, log = self.states[receiver], self.nodes[receiver]
        instance, epoch, asks = state.instance, log.log.epoch, is_under(sender, receiver)

        def heard() -> None:
            if state.instance == instance and (asks or log.log.epoch == epoch):
                run()

        self.send(sender, receiver, heard)

    def _life(self, path: str) -> tuple[int, str]:
        return self.states[path].instance, self.nodes[path].log.query(lambda log: log.epoch)

    def commit(self, node: Node) -> None:
        super().commit(node)
        state = self.states[node.path]
        if state.epoch != node.log.epoch:
            # Whoever begins another life has been told, and greets all anew.
            state.epoch, state.blind = node.log.epoch, False
            state.greeted.clear()

    def ask(self, node: Node, ancestor: str) -> None:
        state = self.states[node.path]
        if ancestor in state.late or node.path in self.states[ancestor].late:
            state.greeted.pop(ancestor, None)
        if state.greeted.get(ancestor) == self._life(ancestor):
            super().ask(node, ancestor)
            return
        self.commit(node)
        marks = node.log.query(lambda log: lives.marks_of(log, ancestor))
        asked = self._life(node.path)
        self.tell(node.path, ancestor, lambda: self._greeted(node.path, asked, ancestor, marks))

    def _greeted(self, asker: str, asked: tuple[int, str], ancestor: str, marks: list[Mark]) -> None:
        node, epoch = self.nodes[ancestor], asked[1]
        told = self.states[ancestor].told
        told[asker] = max(epoch, told.get(asker, ""))
        # What came a moment ago counts, once it is committed.
        self.commit(node)
        shown = node.log.query(lambda log: lives.look_at(log, marks))
        held = node.log.query(lambda log: lives.held_of(log, shown))
        after = node.log.query(lambda log: lives.asked_from(log, shown, asker, epoch))
        wants = None if after is None else Wants(held, after, self._life(ancestor))
        back, life = node.log.query(lambda log: lives.marks_of(log, asker)), self._life(ancestor)

        def heed() -> None:
            # An answer comes to the start, and counts for the life, that has asked.
            if self._life(asker) == asked:
                self._heed(asker, ancestor, life, back, wants)

        self.tell(ancestor, asker, heed)

    def _heed(self, asker: str, ancestor: str, life: tuple[int, str], marks: list[Mark], wants: Wants | None) -> None:
        node, state = self.nodes[asker], self.states[asker]
        state.told[ancestor] = max(life[1], state.told.get(ancestor, ""))
        state.heard[ancestor] = life[1]
        shown = node.log.query(lambda log: lives.look_at(log, marks))
        verdict, mark = shown.verdict, shown.mark
        if mark is not None and node.log.query(lambda log: lives.is_over(log, shown)):
            node.log.apply(lambda tx: lives.renew(tx, mark.epoch, verdict.value, ancestor))
            self.commit(node)
        after = node.log.query(lambda log: lives.asked_from(log, shown, ancestor, life[1]))
        greeting = Greeting(ancestor, life, wants)
        if after is None:
            self.states[ancestor].late.pop(asker, None)
            self._admit(asker, greeting)
        else:
            held = node.log.query(lambda log: lives.held_of(log, shown))
            self._recall(asker, greeting, Wants(held, after, self._life(asker)), [])

    def _recall(self, asker: str, greeting: Greeting, wants: Wants, forks: list[Event]) -> None:
        """Asks for the asker's own history, page by page."""

        def answer() -> None:
            log, limit = self.nodes[greeting.ancestor].log, self._page_limit()
            self.commit(self.nodes[greeting.ancestor])
            page, row = log.query(lambda log: lives.beyond(log, asker, wants.held, wants.after, limit))
            events, rest = list(page.events.values()), wants._replace(after=row)
            self.tell(greeting.ancestor, asker, lambda: self._recalled(asker, greeting, rest, events, page.more, forks))

        self.tell(asker, greeting.ancestor, answer)

    def _recalled(
        self, asker: str, greeting: Greeting, rest: Wants, events: list[Event], more: bool, forks: list[Event]
    ) -> None:
        node = self.nodes[asker]
        ancestor, (_, epoch), _ = greeting
        taken = node.log.apply(lambda tx: lives.take_back(tx, events, ancestor))
        forks = forks + taken.forks
        if not more:
            node.log.apply(lambda tx: lives.retell(tx, forks))
            node.log.apply(lambda tx: lives.settle(tx, ancestor, epoch, rest.after, rest.asked[1]))
            late = self.states[ancestor].late
            if late.get(asker, 0) <= rest.after:
                # An answer that was on its way while more came settles nothing.
                late.pop(asker, None)
            self.states[asker].heard[ancestor] = epoch
            node.log.apply(lambda tx: lives.give_up(tx, self._above(asker)))
        self.commit(node)
        self._look_again(node)
        if more:
            self._recall(asker, greeting, rest, forks)
        else:
            self._admit(asker, greeting)

    def _above(self, path: str) -> list[tuple[str, str]]:
        heard = self.states[path].heard
        return [(above, heard.get(above, "")) for above in paths.ancestors(paths.Path(path))]

    def _admit(self, asker: str, greeting: Greeting) -> None:
        state, node = self.states[asker], self.nodes[asker]
        state.admitted = True
        if state.waits:
            self.commit(node)
            self._take_up(node)
        if greeting.wants is None:
            state.late.pop(greeting.ancestor, None)
            self._done(asker, greeting)
        else:
            self._give_back(asker, greeting, greeting.wants)

    def _done(self, asker: str, greeting: Greeting) -> None:
        """What was asked back has come, every page of it: until then he is greeted again."""
        self.states[asker].greeted[greeting.ancestor] = greeting.life
        self.ask(self.nodes[asker], greeting.ancestor)

    def _give_back(self, asker: str, greeting: Greeting, wants: Wants) -> None:
        ancestor = greeting.ancestor
        limit, epoch = self._page_limit(), self._life(asker)[1]
        self.commit(self.nodes[asker])
        log = self.nodes[asker].log
        page, row = log.query(lambda log: lives.beyond(log, ancestor, wants.held, wants.after, limit))
        events, rest = list(page.events.values()), wants._replace(after=row)

        def take() -> None:
            node = self.nodes[ancestor]
            node.log.apply(lambda tx: lives.take_back(tx, events, asker))
            if self.states[ancestor].instance == wants.asked[0]:
                node.log.apply(lambda tx: lives.settle(tx, asker, epoch, row, wants.asked[1]))
            if above := self._above(ancestor):
                node.log.apply(lambda tx: lives.give_up(tx, above))
            self.commit(node)
            late = self.states[asker].late
            if not page.more and late.get(ancestor, 0) <= row:
                late.pop(ancestor, None)
            go_on = (
                partial(self._give_back, asker, greeting, rest) if page.more else partial(self._done, asker, greeting)
            )
            self.tell(ancestor, asker, go_on)

        self.tell(asker, ancestor, take)

    def _missed(self, asker: str, ancestor: str, streams: list[Stream]) -> None:
        """What is missing of a life that was lost is given up."""
        super()._missed(asker, ancestor, [s for s in streams if s.epoch == self._life(s.source)[1]])

    # -- the run -----------------------------------------------------------------------------------

    def _step(self) -> None:
        roll, node = self.rng.random(), self.rng.choice(list(self.nodes.values()))
        if roll < 0.02:
            self.lose(node)
        elif roll < 0.05:
            self.back_up(node)
        else:
            super()._step()

    def _state(self) -> list[tuple[int, int, int]]:
        greeted = [(len(s.greeted), s.instance, s.waits) for s in self.states.values()]
        return super()._state() + greeted

    # -- the audit ---------------------------------------------------------------------------------

    def _audit_target(self, command: str, path: str) -> None:
        node, state = self.nodes[path], self.states[path]
        row = node.log.query(lambda log: log.target(command, path))
        done = sum(effect.command == command for effect in node.world)
        where = f"{command} at {path}"
        if not (holders := self._holders(command, path)) and (row is None or row.state not in SETTLED):
            self.apart["gone with every log that held it"] += 1
            return
        if row is None:
            self.violations.append(f"{where}: not there, though {holders} hold it")
            return
        kind = self.kinds[command]
        if row.state not in SETTLED:
            self.violations.append(f"{where}: still {row.state}")
        elif row.state == "in-doubt":
            self.apart["in doubt: shown to a person"] += 1
            if kind != "unsafe":
                self.violations.append(f"{where}: {kind}, and in doubt")
        elif row.state == "succeeded" and not done and not (kind == "local" and state.losses):
            self.violations.append(f"{where}: said to be done and was not")
        elif row.state in {"cancelled", "superseded"} and done:
            if state.losses:
                self.apart["withdrawn, and done in a life that was lost"] += 1
            else:
                self.violations.append(f"{where}: {row.state} and done")
        if kind != "safe" and done > 1:
            if (command, path) in self.blindly:
                self.apart["done again by an old copy that nobody had told"] += 1
            else:
                self.violations.append(f"{where}: {kind} and done {done} times")
        for above in (other for other in self.nodes.values() if is_under(path, other.path)):
            there = above.log.query(lambda log: log.target(command, path))
            if there is not None and there.state != row.state and state.twice:
                self.apart["told otherwise by an old copy"] += 1
            elif there is None or there.state != row.state:
                self.violations.append(f"{where}: {row.state}, for {above.path} {there and there.state}")

    def _holders(self, command: str, path: str) -> list[str]:
        return [
            node.path
            for node in self.nodes.values()
            if any(
                stored.event.data.get("command") == command and any(to.path == path for to in stored.event.to)
                for stored in node.log.query(lambda log: log.events(limit=10**6, types=(types.SUBMITTED,)))
            )
        ]

    def _audit_order(self, node: Node) -> None:
        if not self.states[node.path].losses:
            super()._audit_order(node)

    def _keeps_order(self, origin: str) -> bool:
        # What is submitted again has a later number, and where it was received before, its old place.
        return not self.states[origin].losses

    def _audit_copies(self, node: Node) -> None:
        mine = node.log.query(lambda log: log.streams(node.path))
        for source in (other for other in self.nodes.values() if is_under(other.path, node.path)):
            theirs = source.log.query(lambda log: log.streams(log.source))
            for stream in {s for s in (*mine, *theirs) if s.source == source.path}:
                if mine.get(stream, 0) != theirs.get(stream, 0):
                    self.violations.append(
                        f"{node.path} holds {mine.get(stream, 0)} of {theirs.get(stream, 0)} events of {stream}"
                    )
