"""A tree of tiers without I/O, and an adversary that may do to it whatever the world can do.

Every decision is the code that a tier runs (`services.controller.delivery`); here are only the wires:
a bag of messages from which the adversary draws in any order, doubles and drops, links that it cuts,
commits that it delays, and crashes after which a node knows nothing but what it had committed.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from bus import paths, types
from bus.event import Event
from bus.paths import is_under
from services.controller.delivery import positions, repair, submission, target
from services.controller.delivery.receiver import Receiver, Verdict
from services.controller.delivery.submission import Order, Target
from services.tier.mail import Mail
from store.api import Cursor, Mailbox, Stream
from store.compaction import FAR_FUTURE, make_plan, stands_for_body
from store.memory import MemoryLog

KINDS = ["local", "safe", "unsafe"]
TREE = ["root", "root.a", "root.b", "root.a.x", "root.a.y", "root.b.z", "root.a.x.deep"]


@dataclass(frozen=True)
class Rules:
    """The rules of the protocol that can be taken away, to see that the adversary notices."""

    in_order: bool = True
    drop_doubles: bool = True
    cursor_with_received: bool = True
    publish_after_commit: bool = True
    state_only_committed: bool = True
    hold_without_holes: bool = True
    cover_only_its_addressees: bool = True
    take_up_after_crash: bool = True
    started_before_unsafe: bool = True
    received_before_effect: bool = True
    compact_only_what_ancestors_hold: bool = True
    compact_no_open_command: bool = True


@dataclass
class Message:
    """Something on its way; `run` is what happens when it arrives."""

    sender: str
    receiver: str
    run: Callable[[], None]


@dataclass
class Job:
    """A command that was received and has no final."""

    event: Event
    running: bool = False
    said: bool = False
    #: taken up after a crash: it may have begun before, and can not be withdrawn any more
    resumed: bool = False

    @property
    def command(self) -> str:
        """The command's id."""
        return str(self.event.data["command"])

    @property
    def kind(self) -> str:
        """How its shim works: "local" (effect and final in one commit), "safe" to repeat, or "unsafe"."""
        return str(self.event.data["do"]["verb"])


class Effect(NamedTuple):
    """A command that a shim carried out, by the number with which it came."""

    origin: str
    cursor: Cursor
    command: str


@dataclass
class Node:
    """One tier: a log that lasts, a receiver and jobs that do not, and a world that its shim changes."""

    path: str
    log: MemoryLog[Event]
    receiver: Receiver = field(init=False)
    jobs: list[Job] = field(default_factory=list)
    #: what the shim carried out, in order; lasts
    world: list[Effect] = field(default_factory=list)
    #: what the local shim did, and has not committed
    effects: list[Effect] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.receiver = Receiver(self.path, {})


class Simulation:
    """One run. `seed` tells it all."""

    def __init__(self, seed: int, rules: Rules = Rules(), tree: Iterable[str] = TREE) -> None:
        self.rng = random.Random(seed)
        self.rules = rules
        self.nodes = {path: Node(path, MemoryLog(path, epoch="00000001.00")) for path in tree}
        self.bag: list[Message] = []
        self.cut: set[str] = set()
        self.hostile = True
        self.acknowledged: dict[str, tuple[str, list[str]]] = {}
        self.kinds: dict[str, str] = {}
        self.violations: list[str] = []

    # -- the world ---------------------------------------------------------------------------------

    def send(self, sender: str, receiver: str, run: Callable[[], None]) -> None:
        """Puts a message into the bag."""
        self.bag.append(Message(sender, receiver, run))

    def tell(self, sender: str, receiver: str, run: Callable[[], None]) -> None:
        """The same of a question or an answer: whoever did not ask in this life of his process does not hear it."""
        self.send(sender, receiver, run)

    def connected(self, a: str, b: str) -> bool:
        """Whether a path of links leads from a to b; a cut is named by the child's end."""
        top = paths.common_scope([a, b])
        return not any(
            node in self.cut for end in (a, b) for node in self.nodes if node != top and _between(node, top, end)
        )

    def deliver(self) -> None:
        """Draws a message: drops it, doubles it, or lets it arrive."""
        if not self.bag:
            return
        message = self.bag.pop(self.rng.randrange(len(self.bag)))
        if not self.connected(message.sender, message.receiver):
            return
        if self.hostile:
            fate = self.rng.random()
            if fate < 0.15:
                return
            if fate < 0.3:
                self.bag.append(message)
        message.run()

    # -- submit and push ---------------------------------------------------------------------------

    def submit(self, origin: str, targets: list[str], key: str | None, kind: str) -> None:
        """A user submits; acknowledged when committed."""
        node = self.nodes[origin]
        command = f"c{len(self.acknowledged)}-{self.rng.random()}"
        order = Order(command, "any", {"verb": kind}, key=key)
        # The registry may know an older set of tags: any of the legal ways to cut into chunks will do.
        size = self.rng.choice([1, 2, 10])
        parts = [sorted(targets)[i : i + size] for i in range(0, len(targets), size)]
        chunks = [
            c for part in parts for c in submission.plan([self._addressee(node, path) for path in part], lambda _: None)
        ]
        node.log.apply(lambda tx: submission.submit(tx, order, chunks, 1 << 20))
        if not self.rules.publish_after_commit:
            self.publish(
                node, [s.event for s in node.log._state.rows.values() if s.event.source == origin][-len(chunks) :]
            )
            if self.hostile and self.rng.random() < 0.2:
                self.crash(node)
                return
        self.commit(node)
        self.acknowledged[command] = (origin, targets)
        self.kinds[command] = kind

    def _addressee(self, node: Node, path: str) -> Target:
        """A target as this origin knows it."""
        return Target(path)

    def cancel(self, command: str) -> None:
        """The user cancels what has no final."""
        origin, _ = self.acknowledged[command]
        node = self.nodes[origin]
        rows = node.log.query(lambda log: log.targets(command))
        node.log.apply(lambda tx: submission.cancel(tx, command, rows, None))
        self.commit(node)

    def commit(self, node: Node) -> None:
        """What was applied lasts; own events leave, own mail is received."""
        appended = node.log.commit()
        node.world += node.effects
        node.effects = []
        node.jobs = [job for job in node.jobs if not job.said]
        self.publish(node, appended)
        for event in appended:
            if event.type in types.MAIL:
                self.receive(node, event)

    def publish(self, node: Node, events: list[Event]) -> None:
        """Mail goes to those addressed and to the tiers above them, everything to the tiers above."""
        for event in events:
            if event.seq is None:
                continue
            for other in self.nodes.values():
                if other.path == node.path:
                    continue
                addressed = any(is_under(to.path, other.path) for to in event.to)
                if is_under(node.path, other.path) or (addressed and is_under(other.path, node.path)):
                    self.send(node.path, other.path, self._arrival(other, event))

    def record(self, node: Node, events: list[Event]) -> None:
        """Stores copies of what others said."""
        node.log.apply(lambda tx: tx.record(events))

    def _arrival(self, node: Node, event: Event) -> Callable[[], None]:
        def arrive() -> None:
            self.record(node, [event])
            if event.type in types.MAIL:
                self.receive(node, event)

        return arrive

    # -- receive and execute -----------------------------------------------------------------------

    def receive(self, node: Node, event: Event) -> None:
        """The receiver decides; what is due becomes a job."""
        verdict, due = node.receiver.offer(event)
        if not self.rules.in_order and verdict is Verdict.GAP:
            self._skip_gap(node, event)
        if not self.rules.drop_doubles and verdict is Verdict.DOUBLE and event.type == types.SUBMITTED:
            node.jobs.append(Job(event))
        for mail in due:
            self._take(node, mail)

    def _skip_gap(self, node: Node, event: Event) -> None:
        number = next(to.number for to in event.to if to.path == node.path)
        cursors = {**node.receiver.cursors()}
        cursors[event.source] = cursors[event.source]._replace(number=number - 1)
        node.receiver = Receiver(node.path, cursors)
        for mail in node.receiver.offer(event)[1]:
            node.log.apply(lambda tx, mail=mail: tx.move_cursor(mail.origin, mail.cursor))
            node.jobs += [Job(event)] if event.type == types.SUBMITTED else []

    def _take(self, node: Node, mail: Mail) -> None:
        if self.rules.in_order:
            if not self.rules.cursor_with_received:
                node.log.apply(lambda tx: tx.move_cursor(mail.origin, mail.cursor))
                self.commit(node)
                if self.hostile and self.rng.random() < 0.1:
                    self.crash(node)
                    return
                node.log.apply(
                    lambda tx: tx.move_cursor(mail.origin, mail.cursor._replace(number=mail.cursor.number - 1))
                )
            node.log.apply(lambda tx: target.accept(tx, mail))
        event = mail.event
        if mail.cover is not None or event is None:
            return
        withdrawn = [c.command for c in event.supersedes if c.path == node.path]
        if event.type == types.CANCEL:
            withdrawn.append(event.data["command"])
        for job in node.jobs:
            if job.event.data["command"] in withdrawn and not (job.running or job.said or job.resumed):
                kind = types.CANCELLED if event.type == types.CANCEL else types.SUPERSEDED
                self._say(node, job, kind, cause=event.id)
        if event.type == types.SUBMITTED:
            node.jobs.append(Job(event))

    def _say(self, node: Node, job: Job, kind: str, *, cause: str) -> None:
        draft = target.say(node.path, kind, job.event.data["command"], cause=cause)
        node.log.apply(lambda tx: tx.append(draft))
        job.said = True

    def work(self, node: Node) -> None:
        """One step of the host: start the first job, or finish the one that runs."""
        jobs = [job for job in node.jobs if not job.said]
        if not jobs:
            return
        job = jobs[0]
        event = job.event
        number = next(to.number for to in event.to if to.path == node.path)
        effect = Effect(event.source, Cursor(event.epoch, number), job.command)
        if job.kind == "local":
            node.effects.append(effect)
            self._say(node, job, types.SUCCEEDED, cause=event.id)
        elif job.running:
            self._say(node, job, types.SUCCEEDED, cause=event.id)
        else:
            self._start(node, job)
            node.world.append(effect)

    def _start(self, node: Node, job: Job) -> None:
        """What a shim outside the log does can not be taken back: `received` is committed first."""
        if job.kind == "unsafe" and self.rules.started_before_unsafe:
            draft = target.say(node.path, types.STARTED, job.event.data["command"], cause=job.event.id)
            node.log.apply(lambda tx: tx.append(draft))
        if self.rules.received_before_effect:
            self.commit(node)
        job.running = True

    def crash(self, node: Node) -> None:
        """kill -9, and a new start."""
        node.log.crash()
        node.jobs, node.effects = [], []
        cursors = node.log.query(lambda log: log.cursors())
        node.receiver = Receiver(node.path, cursors)
        if self.rules.take_up_after_crash:
            for row, event in node.log.query(lambda log: log.unfinished(node.path)):
                if row.state == "started":
                    draft = target.say(node.path, types.IN_DOUBT, row.command, cause=event.id)
                    node.log.apply(lambda tx, draft=draft: tx.append(draft))
                else:
                    node.jobs.append(Job(event, resumed=True))
        self._take_stored(node)

    # -- repair ------------------------------------------------------------------------------------

    def ask(self, node: Node, ancestor: str) -> None:
        """The asker's first message of a sync; the rest follows as messages arrive."""
        mine = self._mail(node, node.path)
        mail = positions.digests(mine)
        streams = positions.digests(self._streams(node, node.path))
        self.tell(node.path, ancestor, lambda: self._compare(node.path, ancestor, mail, streams))

    def _mail(self, node: Node, asker: str) -> dict[Mailbox, int]:
        if not self.rules.hold_without_holes:
            boxes = node.log._state.boxes
            return {
                b: p.top
                for b, p in boxes.items()
                if is_under(b.target, asker) and b.origin != asker and is_under(asker, b.origin)
            }
        if not self.rules.state_only_committed:
            return repair.mail_from_above(_uncommitted(node), asker)
        return node.log.query(lambda log: repair.mail_from_above(log, asker))

    def _streams(self, node: Node, asker: str) -> dict[Stream, int]:
        if not self.rules.state_only_committed:
            return repair.streams_from_below(_uncommitted(node), asker)
        return node.log.query(lambda log: repair.streams_from_below(log, asker))

    def _compare(self, asker: str, ancestor: str, mail: list[int], streams: list[int]) -> None:
        node = self.nodes[ancestor]
        mails = positions.differing(mail, positions.digests(self._mail(node, asker)))
        held = self._streams(node, asker)
        sources = positions.differing(streams, positions.digests(held))
        self.tell(ancestor, asker, lambda: self._differs(asker, ancestor, mails, sources, held))

    def _differs(
        self, asker: str, ancestor: str, mails: list[int], sources: list[int], theirs: dict[Stream, int]
    ) -> None:
        node = self.nodes[asker]
        held = positions.select(self._mail(node, asker), mails)
        self.tell(asker, ancestor, lambda: self._answer(asker, ancestor, mails, held))
        node.log.apply(lambda tx: tx.confirm(ancestor, {s: theirs.get(s, 0) for s in self._streams(node, asker)}))
        mine = positions.select(self._streams(node, asker), sources)
        wants = repair.lacking(mine, positions.select(theirs, sources))
        limit = self._page_limit()
        reader = node.log.query if self.rules.state_only_committed else (lambda q: q(_uncommitted(node)))
        page = reader(lambda log: repair.shipment(log, wants, limit))
        gone = {} if wants else {s: n for s, n in reader(lambda log: log.floors(asker)).items() if s in mine}
        self.tell(asker, ancestor, lambda: self._shipped(ancestor, asker, list(page.events.values()), gone))

    def _answer(self, asker: str, ancestor: str, buckets: list[int], held: dict[Mailbox, int]) -> None:
        limit = self._page_limit()
        node = self.nodes[ancestor]
        query = node.log.query if self.rules.state_only_committed else (lambda q: q(_uncommitted(node)))
        page = query(lambda log: repair.answer_mail(log, asker, buckets, held, limit))
        events = list(page.events.values())
        if not self.rules.cover_only_its_addressees:
            covered = {c.command for e in events for c in e.supersedes}
            events = [e for e in events if e.data.get("command") not in covered]
        self.tell(ancestor, asker, lambda: self._answered(asker, events, page.floors))

    def _answered(self, asker: str, events: list[Event], floors: dict[Mailbox, int]) -> None:
        node = self.nodes[asker]
        self.record(node, repair.relevant(events, asker))
        node.log.apply(lambda tx: tx.skip({}, floors))
        self.commit(node)
        self._take_stored(node)

    def _take_stored(self, node: Node) -> None:
        cursors = node.receiver.cursors()
        for event in node.log.query(lambda log: repair.stored_mail(log, node.path, cursors)):
            self.receive(node, event)
        floors = node.log.query(lambda log: log.mail_floors(node.path))
        for box in sorted(box for box in floors if box.target == node.path):
            for mail in node.receiver.skip(box.origin, box.epoch, floors[box]):
                self._take(node, mail)

    def _shipped(self, ancestor: str, asker: str, events: list[Event], floors: dict[Stream, int]) -> None:
        node = self.nodes[ancestor]
        self.record(node, repair.admissible(events, asker))
        held = self._streams(node, asker)
        self._missed(asker, ancestor, [stream for stream, n in floors.items() if held.get(stream, 0) < n])
        node.log.apply(lambda tx: tx.skip(floors, {}))
        self.commit(node)

    def _missed(self, asker: str, ancestor: str, streams: list[Stream]) -> None:
        if streams:
            self.violations.append(f"{asker} has compacted of {streams} what {ancestor} does not hold")

    def _page_limit(self) -> int:
        return self.rng.choice([300, 1000, 60_000]) if self.hostile else 10**6

    def compact(self, node: Node) -> None:
        """What nobody needs leaves the log."""
        plan = node.log.query(make_plan)
        if not self.rules.compact_only_what_ancestors_hold:
            plan = replace(plan, streams=node.log.query(lambda log: log.streams(node.path)))
        if not self.rules.compact_no_open_command:
            plan = replace(plan, needed=replace(plan.needed, commands=frozenset()))
        batch = node.log.query(lambda log: log.aged(after=0, before=FAR_FUTURE, limit=10**6))
        going = [
            each
            for each in batch
            if plan.may_go(each) and not node.log.query(lambda log: stands_for_body(log, each.event))
        ]
        node.log.apply(lambda tx: tx.drop(going, through=plan.last))

    # -- the adversary -----------------------------------------------------------------------------

    def run(self, steps: int = 250) -> Simulation:
        """Steps of malice, then peace until nothing moves; then the audit."""
        for _ in range(steps):
            self._step()
        self._peace()
        self._audit()
        return self

    def _step(self) -> None:
        rng = self.rng
        node = rng.choice(list(self.nodes.values()))
        roll = rng.random()
        if roll < 0.12:
            below = [path for path in self.nodes if is_under(path, node.path)]
            targets = rng.sample(below, rng.randint(1, len(below)))
            self.submit(node.path, targets, rng.choice([None, None, "k1", "k2"]), rng.choice(KINDS))
        elif roll < 0.15 and self.acknowledged:
            self.cancel(rng.choice(list(self.acknowledged)))
        elif roll < 0.18:
            self.cut.symmetric_difference_update({rng.choice(TREE[1:])})
        elif roll < 0.21:
            self.crash(node)
        elif roll < 0.31:
            self.commit(node)
        elif roll < 0.34:
            self.compact(node)
        elif roll < 0.47:
            self.work(node)
        elif roll < 0.57 and (above := paths.ancestors(paths.Path(node.path))):
            self.ask(node, rng.choice(above))
        else:
            self.deliver()

    def _peace(self) -> None:
        self.hostile = False
        self.cut.clear()
        for _ in range(400):
            before = self._state()
            for node in self.nodes.values():
                for ancestor in paths.ancestors(paths.Path(node.path)):
                    self.ask(node, ancestor)
            while self.bag:
                self.deliver()
            for node in self.nodes.values():
                for _ in range(3):
                    self.work(node)
                    self.commit(node)
            if before == self._state() and not self.bag:
                return
        self.violations.append("no rest after peace")

    def _state(self) -> list[tuple[int, int, int]]:
        return [(n.log.query(lambda log: log.last_row()), len(n.jobs), len(n.world)) for n in self.nodes.values()]

    # -- the audit ---------------------------------------------------------------------------------

    def _audit(self) -> None:
        for command, (_, targets) in self.acknowledged.items():
            for path in targets:
                self._audit_target(command, path)
        for node in self.nodes.values():
            self._audit_order(node)
            self._audit_copies(node)

    def _audit_target(self, command: str, path: str) -> None:
        node = self.nodes[path]
        finals = [
            s.event.type
            for s in node.log.query(lambda log: log.events(limit=10**6))
            if s.event.type in types.FINALS and s.event.data["command"] == command and s.event.source == path
        ]
        done = [effect for effect in node.world if effect.command == command]
        if len(finals) != 1:
            self.violations.append(f"{command} at {path}: finals {finals}")
            return
        if finals[0] == types.SUCCEEDED and not done:
            self.violations.append(f"{command} at {path}: said to be done and was not")
        if finals[0] in {types.CANCELLED, types.SUPERSEDED} and done:
            self.violations.append(f"{command} at {path}: {finals[0]} and done")
        if self.kinds[command] != "safe" and len(done) > 1:
            self.violations.append(f"{command} at {path}: {self.kinds[command]} and done {len(done)} times")

    def _audit_order(self, node: Node) -> None:
        numbers: dict[str, list[Cursor]] = defaultdict(list)
        last: Effect | None = None
        for effect in node.world:
            if effect != last:
                numbers[effect.origin].append(effect.cursor)
            last = effect
        for origin, done in numbers.items():
            if self._keeps_order(origin) and done != sorted(set(done)):
                self.violations.append(f"{node.path}: mail of {origin} was done in the order {done}")

    def _keeps_order(self, origin: str) -> bool:
        """Whether the numbers of its mail tell the order of its commands."""
        return True

    def _audit_copies(self, node: Node) -> None:
        mine = node.log.query(lambda log: log.streams(node.path))
        for source in (other for other in self.nodes.values() if is_under(other.path, node.path)):
            stream = Stream(source.path, source.log.epoch)
            theirs = source.log.query(lambda log: log.streams(log.source)).get(stream, 0)
            if mine.get(stream, 0) != theirs:
                self.violations.append(f"{node.path} holds {mine.get(stream, 0)} of {theirs} events of {source.path}")
        boxes = node.log.query(lambda log: log.mailboxes(node.path))
        for origin in (other for other in self.nodes.values() if is_under(node.path, other.path)):
            theirs_boxes = origin.log.query(lambda log: log.mailboxes(node.path))
            for box in (box for box in theirs_boxes if box.origin == origin.path):
                if boxes.get(box, 0) != theirs_boxes[box]:
                    self.violations.append(f"{node.path} holds {boxes.get(box, 0)} of {theirs_boxes[box]} of {box}")
        forks = node.log._state.quarantine
        if forks:
            self.violations.append(f"{node.path} quarantined {len(forks)} events")


def _between(node: str, top: str, end: str) -> bool:
    return is_under(node, top) and is_under(end, node)


def _uncommitted(node: Node) -> object:
    from store.memory.reader import MemoryReader

    return MemoryReader(node.log._state, node.log.epoch)
