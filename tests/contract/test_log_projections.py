"""What every log must tell of commands, clusters and objects."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from bus.event import Draft, Event
from store.api import Log, ObjectRow, Reader, TargetRow
from store.memory.past import objects_at
from tests.unit.store.samples import EPOCH, LATER, Source, cancel, cluster, report, stored, submitted

A, B = "root.east.a", "root.east.b"


async def record(log: Log[Event], *events: Event) -> None:
    await log.write(lambda tx: tx.record(events))


async def target(log: Log[Event], command: str = "c1", path: str = A) -> TargetRow:
    row = await log.read(lambda r: r.target(command, path))
    assert row is not None
    assert row == await log.write(lambda tx: tx.target(command, path))
    assert row in await log.read(lambda r: r.targets(command))
    return row


class TestCommands:
    async def test_are_what_their_origin_said(self, log: Log[Event]) -> None:
        event = Source("root").command(A, "root.west", B, command="c1", key="k", actor="ann", expiresat="2026-12-01")
        await record(log, event)
        command = await log.read(lambda r: r.command("c1"))
        assert command is not None
        assert (command.id, command.origin, command.epoch, command.selector) == ("c1", "root", EPOCH, "all")
        assert command.do == {"verb": "apply", "args": {"raw": b"\xff"}}
        assert (command.digest, command.count, command.actor, command.key) == ("d", 3, "ann", "k")
        assert (command.lane, command.submitted, command.expiresat) == (None, event.time, "2026-12-01")
        assert await log.write(lambda tx: tx.command("c1")) == command
        assert await log.read(lambda r: r.command("c2")) is None

    async def test_have_the_targets_at_or_below_this_tier(self, log: Log[Event]) -> None:
        event = Source("root").command(B, "root.west", A, "root.east", command="c1")
        await record(log, event)
        rows = await log.read(lambda r: r.targets("c1"))
        assert [row.target for row in rows] == ["root.east", A, B]
        assert {(row.state, row.number, row.accepted, row.checksum) for row in rows} == {
            ("accepted", 1, event.time, event.checksum)
        }
        page = await log.read(lambda r: r.targets("c1", after="root.east", limit=1))
        assert [row.target for row in page] == [A]
        assert await log.read(lambda r: r.target("c1", "root.west")) is None

    async def test_in_chunks_are_one(self, log: Log[Event]) -> None:
        root = Source("root")
        await record(log, root.command(A, command="c1"), root.command(B, command="c1"))
        assert [row.target for row in await log.read(lambda r: r.targets("c1"))] == [A, B]
        assert [row.id for row in await log.read(lambda r: r.commands())] == ["c1"]


class TestTargets:
    async def test_move_from_accepted_to_final(self, log: Log[Event]) -> None:
        root, site = Source("root"), Source(A)
        await record(log, root.command(A, command="c1"))
        steps = ["received", "started", "succeeded"]
        events = [site.seal(report(step, "c1", **({"result": [1]} if step == "succeeded" else {}))) for step in steps]
        for step, event in zip(steps, events, strict=True):
            await record(log, event)
            assert (await target(log)).state == step
        row = await target(log)
        assert (row.delivered, row.started, row.executed) == tuple(event.time for event in events)
        assert (row.result, row.error) == ([1], None)
        assert row.observed is not None

    async def test_end_the_same_in_whatever_order_the_events_come(self, log: Log[Event]) -> None:
        root, site = Source("root"), Source(A)
        seen: set[Any] = set()
        for n, order in enumerate(itertools.permutations(range(4))):
            id = f"c{n}"
            events = [
                root.command(A, command=id),
                *(
                    site.seal(report(step, id, time=f"t{i}"))
                    for i, step in enumerate(("received", "started", "failed"))
                ),
            ]
            await record(log, *(events[i] for i in order))
            row = await target(log, id)
            seen.add((row.origin, row.epoch, row.number - n, row.state, row.delivered, row.started, row.executed))
        assert seen == {("root", EPOCH, 1, "failed", "t0", "t1", "t2")}

    async def test_a_result_before_the_command_is_kept(self, log: Log[Event]) -> None:
        await record(log, Source(A).seal(report("succeeded", "c1", result={"ok": 1})))
        row = await target(log)
        assert (row.state, row.number, row.result) == ("succeeded", 0, {"ok": 1})
        await record(log, Source("root").command(A, command="c1"))
        assert ((await target(log)).state, (await target(log)).number) == ("succeeded", 1)

    async def test_in_doubt_gives_way_to_another_final(self, log: Log[Event]) -> None:
        root, site = Source("root"), Source(A)
        started, doubt, failed, late = (
            site.seal(report(step, "c1", error={"code": step, "message": "m"}))
            for step in ("started", "in-doubt", "failed", "succeeded")
        )
        await record(log, root.command(A, command="c1"), doubt, started)
        assert (await target(log)).state == "in-doubt"
        await record(log, late, failed)
        row = await target(log)
        assert (row.state, row.error) == ("failed", {"code": "failed", "message": "m"})
        assert row.executed == failed.time

    @pytest.mark.parametrize("order", [1, -1])
    async def test_what_was_withdrawn_gives_way_to_what_an_earlier_life_had_done(
        self, log: Log[Event], order: int
    ) -> None:
        """It is said again in the later life, where the earlier one's own word is lost."""
        now = Source(A, LATER)
        cancelled, done = now.seal(report("cancelled", "c1")), now.seal(report("succeeded", "c1"))
        await record(log, Source("root").command(A, command="c1"), *[cancelled, done][::order])
        row = await target(log)
        assert (row.state, row.executed) == ("succeeded", done.time)

    async def test_only_the_target_itself_moves(self, log: Log[Event]) -> None:
        other = Source(B)
        await record(log, Source("root").command(A, command="c1"), other.seal(report("succeeded", "c1")))
        assert (await target(log)).state == "accepted"

    async def test_show_which_tiers_on_the_way_stored(self, log: Log[Event]) -> None:
        east, west = Source("root.east.a"), Source(B)
        await record(log, east.seal(stored("c1", "c2", time="t1")), west.seal(stored("c1", time="t2")))
        await record(log, Source("root").command(A, "root.east.a.x", command="c1"))
        own = await log.write(lambda tx: tx.append(stored("c1")))
        assert (await target(log)).stored == {A: "t1", "root.east": own.time}
        assert (await target(log, path="root.east.a.x")).stored == {A: "t1", "root.east": own.time}

    async def test_withdrawn_by_a_newer_command_or_a_cancel(self, log: Log[Event]) -> None:
        root = Source("root")
        await record(log, root.command(A, B, command="c1", key="k"))
        await record(log, root.command(A, command="c2", key="k", covers=[(A, 1, "c1"), ("root.west", 1, "c1")]))
        assert (await target(log)).withdrawn == "superseded"
        await record(log, root.seal(cancel("c1", root.mail(A, B), [(A, 1, "c1"), (B, 1, "c1")])))
        assert ((await target(log)).withdrawn, (await target(log, path=B)).withdrawn) == ("cancelled", "cancelled")
        await record(log, root.command(A, command="c3", key="k", covers=[(A, 1, "c1")]))
        row = await target(log)
        assert (row.withdrawn, row.state) == ("cancelled", "accepted")

    async def test_withdrawn_before_the_body_comes(self, log: Log[Event]) -> None:
        root = Source("root")
        body = root.command(A, command="c1")
        await record(log, root.command(A, command="c2", covers=[(A, 1, "c1")]))
        row = await target(log)
        assert (row.number, row.checksum, row.withdrawn, row.accepted) == (1, b"c" * 16, "superseded", None)
        await record(log, body)
        row = await target(log)
        assert (row.checksum, row.withdrawn, row.accepted) == (body.checksum, "superseded", body.time)

    async def test_reissued_in_a_later_life_keep_their_state(self, log: Log[Event]) -> None:
        old, new, site = Source("root"), Source("root", LATER), Source(A)
        first, second = old.command(A, command="c1", time="t1"), new.command("root.east.x", command="c0")
        again = new.command(A, command="c1", time="t9")
        await record(log, first, site.seal(report("received", "c1")), second, again)
        row = await target(log)
        assert (row.epoch, row.number, row.state, row.accepted) == (LATER, 1, "received", "t1")
        command = await log.read(lambda r: r.command("c1"))
        assert command is not None
        assert (command.epoch, command.submitted) == (LATER, "t1")

    async def test_resolve_changes_nothing(self, log: Log[Event]) -> None:
        root, site = Source("root"), Source(A)
        await record(log, root.command(A, command="c1"), site.seal(report("in-doubt", "c1")))
        resolve = Draft(type="ote.command.resolve.v1", subject="s", data={"command": "c1", "as": "failed"})
        await record(log, root.seal(resolve))
        assert (await target(log)).state == "in-doubt"

    @pytest.mark.parametrize("data", [{}, {"command": 7}, {"command": ["x"]}, {"commands": 3}, {"commands": [1, None]}])
    async def test_data_that_makes_no_sense_stops_nothing(self, log: Log[Event], data: dict[str, Any]) -> None:
        site = Source(A)
        for name in ("submitted", "received", "succeeded", "stored"):
            await record(log, site.seal(Draft(type=f"ote.command.{name}.v1", subject="s", data=data)))
        await record(log, Source("root").command(A, command="c1"))
        assert (await target(log)).state == "accepted"


class TestLists:
    async def test_unreceived_of_a_key(self, log: Log[Event]) -> None:
        def submit(tx: Any, id: str, key: str | None, *paths: str) -> None:
            tx.append(submitted(id, [(path, tx.number(path)) for path in paths], key=key))

        await log.write(lambda tx: submit(tx, "c1", "k", A, B))
        await log.write(lambda tx: submit(tx, "c2", "k", A))
        await log.write(lambda tx: submit(tx, "c3", "other", A))
        await log.write(lambda tx: submit(tx, "c4", None, A))
        await record(log, Source("root").command(A, command="c5", key="k"))
        await record(log, Source(B).seal(report("received", "c1")))

        def keyed(r: Reader[Event], *more: str) -> list[tuple[str, str, int]]:
            return [(row.command, row.target, row.number) for row in r.unreceived("k", [B, A, *more])]

        many = [f"root.east.z{n}" for n in range(50)]
        for found in (await log.read(keyed), await log.write(keyed), await log.read(lambda r: keyed(r, *many))):
            assert found == [("c1", A, 1), ("c2", A, 2)]

    async def test_unfinished_in_the_order_of_received(self, log: Log[Event]) -> None:
        root, site = Source("root"), Source(A)
        commands = [root.command(A, command=f"c{n}") for n in range(5)]
        await record(log, *commands)
        received = [site.seal(report("received", f"c{n}")) for n in (3, 1, 0, 2)]
        await record(log, *reversed(received))
        await record(log, site.seal(report("started", "c1")), site.seal(report("succeeded", "c0")))
        await record(log, site.seal(report("started", "c2")), site.seal(report("in-doubt", "c2")))
        found = await log.read(lambda r: r.unfinished(A))
        assert [(row.command, row.state, event) for row, event in found] == [
            ("c3", "received", commands[3]),
            ("c1", "started", commands[1]),
        ]
        assert [row.received_at for row, _ in found] == [(site.epoch, 1), (site.epoch, 2)]
        assert await log.read(lambda r: r.unfinished(A, limit=1)) == found[:1]
        assert await log.read(lambda r: r.unfinished(A, after=found[0][0].received_at, limit=9)) == found[1:]
        assert await log.read(lambda r: r.unfinished(A, after=found[1][0].received_at)) == []
        assert await log.read(lambda r: r.unfinished(B)) == []

    async def test_commands_latest_first(self, log: Log[Event]) -> None:
        root = Source("root")
        for n in range(6):
            await record(log, root.command(*([A, B] if n % 2 else [B]), command=f"c{n}"))
        await record(log, *(Source(A).seal(report("succeeded", id)) for id in ("c1",)))
        b = Source(B)
        await record(
            log, *(b.seal(report(state, f"c{n}")) for n, state in ((0, "failed"), (1, "failed"), (2, "in-doubt")))
        )

        async def ids(**filters: Any) -> list[str]:
            return [row.id for row in await log.read(lambda r: r.commands(**filters))]

        assert await ids() == ["c5", "c4", "c3", "c2", "c1", "c0"]
        assert await ids(limit=2) == ["c5", "c4"]
        assert await ids(before="c4", limit=2) == ["c3", "c2"]
        assert await ids(target=A) == ["c5", "c3", "c1"]
        assert await ids(target=A, before="c3") == ["c1"]
        assert await ids(open_only=True) == ["c5", "c4", "c3", "c2"]
        assert await ids(open_only=True, before="c4", limit=1) == ["c3"]
        assert await ids(target=A, open_only=True) == ["c5", "c3"]
        assert await ids(target="root.east.z") == []

    async def test_summary_oldest_open_and_counts(self, log: Log[Event]) -> None:
        root = Source("root")
        await record(log, root.command(A, B, command="c1"), root.command(A, command="c2"))
        a = Source(A)
        await record(log, a.seal(report("succeeded", "c1")), a.seal(report("in-doubt", "c2")))
        assert await log.read(lambda r: r.summary("c1")) == {"succeeded": 1, "accepted": 1}

        async def oldest(**filters: Any) -> list[tuple[str, str]]:
            return [(row.command, row.target) for row in await log.read(lambda r: r.oldest_open(**filters))]

        assert await oldest() == [("c1", B), ("c2", A)]
        assert await oldest(limit=1) == [("c1", B)]
        assert await oldest(state="in-doubt") == [("c2", A)]
        counts = await log.read(lambda r: r.counts())
        assert counts["bytes"] > 0
        assert {name: counts[name] for name in ("events", "commands", "targets")} == {
            "events": 4,
            "commands": 2,
            "targets": {"succeeded": 1, "accepted": 1, "in-doubt": 1},
        }


class TestClusters:
    async def test_are_what_they_announce(self, log: Log[Event]) -> None:
        site = Source(A)
        facts = {
            "tags": {"camera": "", "zone": "eu"},
            "shims": [{"kind": "local", "default": True}],
            "resources": {"cpu": 4},
        }
        old = site.seal(cluster("announced", A, tags={"old": ""}, instance="i1", time="t1"))
        new = site.seal(cluster("announced", A, **facts, version="1.2", instance="i2", time="t2"))
        forged = Source(B).seal(cluster("announced", A, tags={"forged": ""}))
        await record(log, new, old, forged)
        row = await log.read(lambda r: r.cluster(A))
        assert row is not None
        assert (row.path, row.name, row.parent, row.state) == (A, "a", "root.east", "unknown")
        assert {"tags": row.tags, "shims": row.shims, "resources": row.resources} == facts
        assert (row.version, row.instance, row.epoch) == ("1.2", "i2", EPOCH)
        assert (row.announced, row.last_seen) == ("t2", "t2")

    async def test_the_tier_itself_is_online(self, log: Log[Event]) -> None:
        await log.write(lambda tx: tx.append(cluster("announced", "root.east", tags={})))
        row = await log.read(lambda r: r.cluster("root.east"))
        assert row is not None
        assert (row.state, row.parent) == ("online", "root")

    async def test_are_where_their_parent_saw_them_last(self, log: Log[Event]) -> None:
        async def state() -> tuple[str, str | None, str | None]:
            row = await log.read(lambda r: r.cluster("root.east.a.x"))
            assert row is not None
            return row.state, row.attached_to, row.since

        path, a = "root.east.a.x", Source(A)
        joined = a.seal(cluster("joined", path, attached_to=A, time="t1"))
        gone = a.seal(cluster("offline", path, since="t2", time="t3"))
        moved = Source(path).seal(cluster("attached", path, attached_to=B, time="t4"))
        late = a.seal(cluster("offline", path, since="t5"))
        await record(log, gone, joined)
        assert await state() == ("offline", None, "t2")
        await record(log, moved, late)
        assert await state() == ("online", B, "t4")

    async def test_are_not_judged_by_whom_they_have_not_named(self, log: Log[Event]) -> None:
        """Nor is it believed what a host says of a guest that went on before it had said that it is there."""
        path, a, b = "root.east.a.x", Source(A), Source(B)
        site = Source(path, LATER)

        async def state() -> tuple[str, str | None, str | None]:
            row = await log.read(lambda r: r.cluster(path))
            assert row is not None
            return row.state, row.attached_to, row.since

        first = site.seal(cluster("announced", path, tags={}))
        await record(log, first, a.seal(cluster("online", path, time="t1", of={"epoch": LATER, "seq": 0})))
        nothing, later = {"epoch": "", "seq": 0}, {"epoch": LATER, "seq": 0}
        for of in ({}, {"of": nothing}, {"of": later}, {"of": {"epoch": LATER + "99", "seq": 7}}):
            claimed = b.seal(cluster("online", path, attached_to=B, time="t2", **of))
            await record(log, claimed, b.seal(cluster("offline", path, since="t3", time="t3", **of)))
            assert await state() == ("online", A, "t1")
        claimed = b.seal(cluster("online", path, attached_to=B, time="t2", of={"epoch": LATER, "seq": 7}))
        site = Source(path, LATER + "9")
        await record(log, claimed, site.seal(cluster("announced", path, tags={}, time="t3")))
        assert await state() == ("online", A, "t1"), "a stay of which only the host has told"
        home = site.seal(cluster("attached", path, attached_to=A, time="t4"))
        stay = {"of": {"epoch": home.epoch, "seq": home.seq}}
        await record(log, home, b.seal(cluster("offline", path, since="t5", time="t5", **stay)))
        assert await state() == ("online", A, "t1")
        away = site.seal(cluster("attached", path, attached_to=B, time="t6"))
        stay = {"of": {"epoch": away.epoch, "seq": away.seq}}
        await record(log, away, b.seal(cluster("offline", path, since="t7", time="t7", **stay)))
        assert await state() == ("offline", B, "t7")

    async def test_that_begin_another_life_are_where_its_judge_says(self, log: Log[Event]) -> None:
        """Its parent has not heard where the earlier life was last; what it says may come before the cluster's word."""

        async def where() -> tuple[str, str | None]:
            row = await log.read(lambda r: r.cluster("root.east.a.x"))
            assert row is not None
            return row.state, row.attached_to

        path, a, b = "root.east.a.x", Source(A), Source(B)
        before, after = Source(path), Source(path, LATER)
        moved = before.seal(cluster("attached", path, attached_to=B))
        gone = b.seal(cluster("offline", path, since="t1", of={"epoch": moved.epoch, "seq": moved.seq}))
        await record(log, a.seal(cluster("joined", path, attached_to=A)), moved, gone)
        assert await where() == ("offline", B)
        await record(log, a.seal(cluster("online", path, attached_to=A, of={"epoch": LATER, "seq": 0})))
        assert await where() == ("online", A)
        await record(log, after.seal(cluster("announced", path, tags={})), before.seal(cluster("attached", path)))
        late = before.seal(cluster("attached", path, attached_to=B))
        await record(log, late, b.seal(cluster("offline", path, since="t2", of={"epoch": late.epoch, "seq": late.seq})))
        assert await where() == ("online", A), "who speaks of the earlier life knows nothing of this one"

    async def test_that_have_moved_are_judged_where_they_say_they_are(self, log: Log[Event]) -> None:
        async def where() -> tuple[str, str | None]:
            row = await log.read(lambda r: r.cluster("root.east.a.x"))
            assert row is not None
            return row.state, row.attached_to

        path, a, b = "root.east.a.x", Source(A), Source(B)
        site = Source(path)
        before = a.seal(cluster("offline", path, since="t0"))
        moved = site.seal(cluster("attached", path, attached_to=B, time="t2"))
        of = {"epoch": moved.epoch, "seq": moved.seq}
        await record(log, a.seal(cluster("joined", path, attached_to=A)), moved)
        assert await where() == ("online", B)
        await record(log, before, a.seal(cluster("offline", path, since="t3", of=of)))
        assert await where() == ("online", B), "its former parent does not know any more"
        early = b.seal(cluster("offline", path, since="t1"))
        await record(log, early)
        assert await where() == ("online", B), "its host spoke of an earlier stay"
        await record(log, b.seal(cluster("offline", path, since="t4", of=of)))
        assert await where() == ("offline", B)
        back = site.seal(cluster("attached", path, attached_to=A, time="t5"))
        await record(log, back, b.seal(cluster("online", path, attached_to=B, of=of)))
        assert await where() == ("online", A)
        row = await log.read(lambda r: r.cluster(path))
        assert row is not None
        assert row.moved == (back.epoch, back.seq)
        needed = await log.read(lambda r: r.needed())
        assert (path, back.epoch, back.seq) in needed.places

    async def test_that_are_judged_before_they_have_said_where_they_are(self, log: Log[Event]) -> None:
        """The word of the host overtakes that of its guest: each is mail of its own, and may be lost on the way."""
        path, a, b = "root.east.a.x", Source(A), Source(B)
        site = Source(path)

        async def state() -> tuple[str, str | None, str | None]:
            row = await log.read(lambda r: r.cluster(path))
            assert row is not None
            return row.state, row.attached_to, row.since

        first = site.seal(cluster("attached", path, attached_to=B, time="t2"))
        second = site.seal(cluster("attached", path, attached_to=B, time="t4"))
        of = {"epoch": second.epoch, "seq": second.seq}
        await record(log, a.seal(cluster("joined", path, attached_to=A, time="t1")))
        gone = b.seal(cluster("offline", path, since="t5", time="t6", of=of))
        await record(log, gone, b.seal(cluster("online", path, attached_to=B, time="t7", of=of)))
        assert await state() == ("online", A, "t1")
        await record(log, b.seal(cluster("offline", path, since="t8", time="t9", of=of)), gone)
        await record(log, first)
        assert await state() == ("online", B, "t1"), "what is said of its second stay says nothing of its first"
        await record(log, second)
        assert await state() == ("offline", B, "t8")
        await record(log, b.seal(cluster("online", path, attached_to=B, time="t10", of=of)))
        assert await state() == ("online", B, "t10")

    async def test_say_where_others_reach_them(self, log: Log[Event]) -> None:
        site = Source(A)
        await record(log, site.seal(cluster("announced", A, leaf="10.0.0.1:7422", drained=True)))
        row = await log.read(lambda r: r.cluster(A))
        assert row is not None
        assert (row.leaf, row.drained, row.moved[1]) == ("10.0.0.1:7422", True, 0)
        await record(log, site.seal(cluster("announced", A, leaf=7)))
        row = await log.read(lambda r: r.cluster(A))
        assert row is not None
        assert (row.leaf, row.drained) == ("", False)

    async def test_are_listed_by_subtree_in_order(self, log: Log[Event]) -> None:
        paths = [B, A, "root.east.a.x", "root.east.a-1"]
        await record(log, *(Source(path).seal(cluster("announced", path)) for path in paths))
        assert [row.path for row in await log.read(lambda r: r.clusters("root.east"))] == sorted(paths)
        assert [row.path for row in await log.read(lambda r: r.clusters(A))] == [A, "root.east.a.x"]
        assert await log.read(lambda r: r.cluster("root.east.z")) is None


class TestObjects:
    async def test_are_applied_and_deleted(self, log: Log[Event]) -> None:
        def manifest(kind: str, name: str, namespace: str | None = "shop", **rest: Any) -> dict[str, Any]:
            metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
            return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **rest}

        def applied(object: dict[str, Any]) -> Draft:
            return Draft(type="ote.object.applied.v1", subject="s", data={"object": object}, shared=False)

        one, two = manifest("Service", "web"), manifest("ConfigMap", "web", data={"a": "1"})
        space, old = manifest("Namespace", "shop", None), manifest("ConfigMap", "web", data={"a": "0"})
        gone = {"apiVersion": "v1", "kind": "Service", "namespace": "shop", "name": "api"}
        deleted = Draft(type="ote.object.deleted.v1", subject="s", data=gone, shared=False)
        drafts = [
            applied(old),
            applied(one),
            applied(manifest("Service", "api")),
            applied(two),
            applied(space),
            deleted,
        ]
        await log.write(lambda tx: [tx.append(draft) for draft in drafts])
        await record(log, Source(A).seal(applied(manifest("Service", "foreign"))))

        async def objects(**filters: Any) -> list[dict[str, Any]]:
            return await log.read(lambda r: r.objects(**filters))

        assert await objects() == [two, space, one]
        assert await objects(kind="ConfigMap", namespace="shop", name="web") == [two]
        assert await objects(namespace="") == [space]
        assert await log.read(lambda r: r.object("v1", "ConfigMap", "shop", "web")) == two
        assert await log.read(lambda r: r.object("v1", "Service", "shop", "api")) is None


def configmap(name: str, value: str = "", **metadata: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}, "data": {"v": value}}


def observed(*changes: dict[str, Any], shim: str = "local", time: str = "t9", **data: Any) -> Draft:
    return Draft("ote.object.observed.v1", "ote.evt.x", {"shim": shim, "changes": list(changes), **data}, time=time)


def change(object: Any, **more: Any) -> dict[str, Any]:
    return {"object": object, "digest": "d", "time": "t1", **more}


class TestObserved:
    async def rows(self, log: Log[Event], cluster: str = A, **filters: Any) -> list[ObjectRow]:
        found = await log.read(lambda r: r.observed(cluster, **filters))
        assert found == await log.write(lambda tx: tx.observed(cluster, **filters))
        return found

    async def test_objects_are_as_their_cluster_told_them_last(self, log: Log[Event]) -> None:
        site, other = Source(A), Source(B)
        old = site.seal(observed(change(configmap("a", "0")), change(configmap("b", "0", namespace="shop"))))
        new = site.seal(
            observed(
                change(configmap("a", "1"), time="t2", command="c1", prior=old.id, digest="e"),
                change(configmap("b", namespace="shop"), gone=True, time="t3"),
            )
        )
        await record(log, new, old, other.seal(observed(change(configmap("a", "far")))))
        [row] = await self.rows(log)
        assert (row.cluster, row.shim, row.api_version, row.kind, row.namespace, row.name) == (
            *(A, "local", "v1", "ConfigMap", "", "a"),
        )
        assert (row.object, row.gone, row.digest) == (configmap("a", "1"), False, "e")
        assert (row.since, row.command, row.event, row.epoch) == ("t2", "c1", new.id, EPOCH)
        both = await self.rows(log, gone=True)
        assert [(row.name, row.gone) for row in both] == [("a", False), ("b", True)]
        assert [row.object for row in await self.rows(log, B)] == [configmap("a", "far")]
        assert await self.rows(log, "root.east") == []

    async def test_of_several_changes_in_one_event_the_last_counts(self, log: Log[Event]) -> None:
        event = Source(A).seal(observed(change(configmap("a", "1")), change(configmap("a", "2"), command="c2")))
        await record(log, event)
        assert [(row.object["data"], row.command) for row in await self.rows(log)] == [({"v": "2"}, "c2")]

    async def test_are_filtered_and_paged_in_order(self, log: Log[Event]) -> None:
        service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "b"}}
        crd = {"apiVersion": "x.io/v1", "kind": "ConfigMap", "metadata": {"name": "b"}}
        told = [service, crd, configmap("b"), configmap("a", namespace="z"), configmap("c")]
        await record(log, Source(A).seal(observed(*map(change, told))))
        rows = await self.rows(log)
        assert [row.object for row in rows] == [
            configmap("b"),
            crd,
            configmap("c"),
            configmap("a", namespace="z"),
            service,
        ]
        for start, row in enumerate(rows, 1):
            assert await self.rows(log, after=row.key, limit=2) == rows[start : start + 2]
        assert await self.rows(log, kind="Service") == [rows[4]]
        assert await self.rows(log, namespace="z", name="a") == [rows[3]]
        assert await self.rows(log, name="b", limit=1) == [rows[0]]

    async def test_in_a_new_life_what_was_not_told_again_is_no_more(self, log: Log[Event]) -> None:
        first, later = Source(A), Source(A, LATER)
        whole = later.seal(observed(change(configmap("a", "new")), whole=True))
        old = first.seal(observed(change(configmap("a")), change(configmap("b"))))
        vm = first.seal(observed(change(configmap("vm")), shim="vm"))
        await record(log, old, vm)
        assert [row.name for row in await self.rows(log)] == ["a", "b", "vm"]
        await record(log, whole)
        assert [row.object for row in await self.rows(log)] == [configmap("a", "new"), configmap("vm")]

    async def test_nonsense_is_left_out(self, log: Log[Event]) -> None:
        bad = [None, {}, {"object": 1}, change({"kind": 1, "metadata": {"name": "x"}}), change({"metadata": []})]
        site = Source(A)
        await record(log, site.seal(observed(*bad, change(configmap("good")))))  # type: ignore[arg-type]
        await record(log, site.seal(Draft("ote.object.observed.v1", "ote.evt.x", {"shim": 1, "changes": 5})))
        assert [row.name for row in await self.rows(log)] == ["good"]

    async def test_are_as_they_were(self, log: Log[Event]) -> None:
        first, later = Source(A), Source(A, LATER)
        made = first.seal(observed(change(configmap("a", "1")), change(configmap("b"), time="t2"), time="t2"))
        gone = first.seal(observed(change(configmap("a"), gone=True, time="t4"), time="t5"))
        whole = later.seal(observed(change(configmap("c"), time="t7"), whole=True, time="t7"))
        await record(log, whole, gone, made)
        seen = {}
        for time in ("t0", "t1", "t3", "t4", "t6", "t7", "t9"):
            past = objects_at("root.east", time, await log.read(lambda r: r.events()))
            seen[time] = "".join(row.name for row in past.observed(A))
        assert seen == {"t0": "", "t1": "a", "t3": "ab", "t4": "b", "t6": "b", "t7": "c", "t9": "c"}
