"""`ote why` and `ote undo`: the past of an object, and back to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bus.errors import NotFound, Refused
from services.shims import observer
from tests.integration.cli import Ote
from tests.integration.test_objects_observed import knows, manifest, run
from tests.integration.tiers import LocalTier, Tiers
from tests.support import eventually

ONE, TWO = "root.one", "root.two"


@pytest.fixture
async def root(tiers: Tiers) -> LocalTier:
    root = await tiers.grow("root", shims=())
    for path in (ONE, TWO):
        await tiers.grow(path, root, tags=("site",))
    return root


@pytest.fixture
def ote(root: LocalTier, tmp_path: Path) -> Ote:
    return Ote(tmp_path, str(root.info["nats"]))


async def to_all(root: LocalTier, verb: str, *manifests: Any, **args: Any) -> str:
    do = {"verb": verb, "args": {"manifests": list(manifests), **args}}
    answer = await root.submit("tag:site", do, wait=30)
    assert answer["summary"] == {"succeeded": 2}, answer
    return str(answer["id"])


async def both(root: LocalTier, names: dict[str, Any]) -> None:
    for path in (ONE, TWO):
        await knows(root, names, path)


async def undone(root: LocalTier, id: str, **more: Any) -> Any:
    """The answer, when what was submitted is done."""
    answer = await root.ask("undo", {"id": id, "actor": "ann", **more})
    for command in answer["commands"]:
        done = await root.done(command["id"])
        assert set(done["summary"]) == {"succeeded"}, done
    return answer


class TestWhy:
    async def test_leads_from_the_object_to_who_sent_the_command(self, root: LocalTier, ote: Ote) -> None:
        first = await run(root, "apply", manifest("shop", a="1"), to=ONE)
        second = await run(root, "apply", manifest("shop", a="2"), to=ONE)
        await knows(root, {"shop": {"a": "2"}}, ONE)
        delete = {"verb": "delete", "args": {"manifest": manifest("shop")}}
        third = (await root.submit(ONE, delete, actor="ann"))["id"]

        async def whole() -> Any:
            [object] = (await root.ask("why", {"kind": "ConfigMap", "name": "shop", "changes": 10}))["objects"]
            return object if object["gone"] else None

        await knows(root, {}, ONE)
        object = await eventually(whole)
        assert (object["cluster"], object["gone"], object["lost"]) == (ONE, True, False)
        assert [one["command"]["id"] for one in object["changes"]] == [third, second, first]
        command = object["changes"][0]["command"]
        assert (command["actor"], command["origin"], command["to"], command["verb"]) == ("ann", "root", ONE, "delete")
        assert command["state"] == "succeeded"
        assert set(command["receipts"]) >= {"accepted", "delivered", "executed"}
        told = await ote("why", "ConfigMap/shop", "--on", "one")
        assert f"at {ONE}" in told.lines[0]
        assert "gone since" in told.out
        assert f"at root by ann: delete to {ONE}" in told.out
        assert (await ote("why", "ConfigMap/default/shop", "--changes", "3", "-o", "name")).lines == [
            third,
            second,
            first,
        ]
        assert (await ote("why", "ConfigMap/shop", "-o", "json")).json()["objects"][0]["cluster"] == ONE

    async def test_says_what_it_does_not_know(self, root: LocalTier, ote: Ote) -> None:
        unknown = await ote("why", "ConfigMap/nothing")
        assert (unknown.code, "has told of" in unknown.err) == (3, True)
        for bad in ("shop", "a/b/c/d", "ConfigMap/"):
            assert (await ote("why", bad)).code == 2
        assert (await ote("why", "ConfigMap/a/b", "-n", "c")).code == 2


class TestUndo:
    async def test_what_was_created_is_deleted(self, root: LocalTier) -> None:
        id = await to_all(root, "apply", manifest("a"), manifest("b"))
        await both(root, {"a": {}, "b": {}})
        plan = await root.ask("undo", {"id": id, "dry_run": True})
        assert (plan["commands"], plan["summary"]) == ([], {"undo": 2})
        assert [step["verb"] for step in plan["targets"][ONE]["steps"]] == ["delete", "delete"]
        answer = await undone(root, id)
        [command] = answer["commands"]
        assert (command["verb"], command["count"], command["targets"]) == ("delete", 2, [ONE, TWO])
        await both(root, {})

    async def test_what_was_changed_gets_its_former_manifest(self, root: LocalTier) -> None:
        await run(root, "apply", manifest("a", v="1"), to=ONE)
        await run(root, "apply", manifest("a", v="2", w="2"), to=TWO)
        await knows(root, {"a": {"v": "1"}}, ONE)
        await knows(root, {"a": {"v": "2", "w": "2"}}, TWO)
        id = await to_all(root, "apply", manifest("a", v="3", x="3"))
        await both(root, {"a": {"v": "3", "x": "3"}})
        answer = await undone(root, id)
        assert sorted(command["targets"] for command in answer["commands"]) == [[ONE], [TWO]]
        await knows(root, {"a": {"v": "1"}}, ONE)
        await knows(root, {"a": {"v": "2", "w": "2"}}, TWO)
        # Undo is a command like others, and can be undone.
        for command in answer["commands"]:
            await undone(root, command["id"])
        await both(root, {"a": {"v": "3", "x": "3"}})

    async def test_what_was_deleted_is_applied_again(self, root: LocalTier) -> None:
        await to_all(root, "apply", manifest("a", v="1"))
        await both(root, {"a": {"v": "1"}})
        id = await to_all(root, "delete", manifest("a"))
        await both(root, {})
        await undone(root, id)
        await both(root, {"a": {"v": "1"}})

    async def test_what_another_manager_owns_stays(self, root: LocalTier) -> None:
        await run(root, "apply", manifest("a", v="1"), to=ONE)
        do = {"verb": "apply", "args": {"manifest": manifest("a", w="2"), "fieldManager": "other"}}
        id = (await root.submit(ONE, do, wait=30))["id"]
        await knows(root, {"a": {"v": "1", "w": "2"}}, ONE)
        await undone(root, id)
        await knows(root, {"a": {"v": "1"}}, ONE)

    async def test_what_was_changed_since_is_left_unless_forced(self, root: LocalTier) -> None:
        id = await to_all(root, "apply", manifest("a", v="1"), manifest("b"))
        await both(root, {"a": {"v": "1"}, "b": {}})
        other = await run(root, "apply", manifest("a", v="2"), to=ONE)
        await knows(root, {"a": {"v": "2"}, "b": {}}, ONE)
        plan = await root.ask("undo", {"id": id, "dry_run": True})
        assert plan["summary"] == {"refused": 1, "undo": 1}
        assert plan["targets"][ONE]["reasons"] == [f"ConfigMap/default/a: changed since by command {other}"]
        await undone(root, id)
        await knows(root, {}, TWO)
        await knows(root, {"a": {"v": "2"}, "b": {}}, ONE)
        await undone(root, id, force=True)
        await knows(root, {}, ONE)

    async def test_a_command_on_its_way_to_the_object_counts_as_a_change(self, root: LocalTier, tiers: Tiers) -> None:
        id = await to_all(root, "apply", manifest("a"))
        await both(root, {"a": {}})
        await tiers[ONE].link.cut()
        other = (await root.submit(ONE, {"verb": "apply", "args": {"manifest": manifest("a", v="2")}}))["id"]
        plan = await root.ask("undo", {"id": id, "dry_run": True})
        assert plan["targets"][ONE]["reasons"] == [f"ConfigMap/default/a: command {other} is on its way to it"]
        assert plan["targets"][TWO]["state"] == "undo"

    async def test_what_had_no_effect_needs_nothing(self, root: LocalTier) -> None:
        first = await to_all(root, "apply", manifest("a"))
        again = await to_all(root, "apply", manifest("a"))
        failed = await root.submit("tag:site", {"verb": "delete", "args": {"manifest": manifest("z")}}, wait=30)
        await both(root, {"a": {}})
        for id, why in ((again, "as it was before"), (failed["id"], "no effect there: failed")):
            answer = await undone(root, id)
            assert (answer["commands"], answer["summary"]) == ([], {"nothing": 2})
            assert all(why in target["reasons"][0] for target in answer["targets"].values())
        await undone(root, first)
        assert (await undone(root, first))["summary"] == {"refused": 2}

    async def test_what_is_unknown_is_refused_with_a_word_for_each(
        self, root: LocalTier, tiers: Tiers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def reasons(id: str) -> str:
            answer = await root.ask("undo", {"id": id, "force": True})
            assert answer["commands"] == []
            return " ".join(reason for target in answer["targets"].values() for reason in target["reasons"])

        await tiers[ONE].link.cut()
        waiting = (await root.submit(ONE, {"verb": "apply", "args": {"manifest": manifest("w")}}))["id"]
        assert "not been done there yet" in await reasons(waiting)
        await run(root, "apply", manifest("large", v="x" * 300_000), to=TWO)
        small = await run(root, "apply", manifest("large", v="x"), to=TWO)
        await knows(root, {"large": {"v": "x"}}, TWO)
        assert "too large" in await reasons(small)
        monkeypatch.setattr(observer, "DELAY", 1000.0)
        silent = await run(root, "apply", manifest("later"), to=TWO)
        # What the cluster gathered before is told still.
        silent = await run(root, "apply", manifest("last"), to=TWO)
        assert "has not told" in await reasons(silent)
        with pytest.raises(NotFound):
            await root.ask("undo", {"id": "01939a3c-0000-7000-8000-000000000001"})
        listed = (await root.submit(TWO, {"verb": "list", "args": {}}, wait=30))["id"]
        with pytest.raises(Refused, match="only apply and delete"):
            await root.ask("undo", {"id": listed})

    async def test_at_the_command_line(self, root: LocalTier, ote: Ote) -> None:
        id = await to_all(root, "apply", manifest("a", v="1"))
        await both(root, {"a": {"v": "1"}})
        dry = await ote("undo", id, "--dry-run")
        assert dry.lines[1:] == [f"2 clusters: {ONE}, {TWO}   undo   delete ConfigMap/default/a"]
        assert (dry.code, dry.err.strip()) == (0, "dry run: 2 undo")
        await run(root, "apply", manifest("a", v="2"), to=ONE)
        await knows(root, {"a": {"v": "2"}}, ONE)
        ran = await ote("undo", id, "--wait")
        assert ran.code == 6
        assert "refused" in ran.lines[1]
        assert "changed since by command" in ran.lines[1]
        assert ran.lines[-1].startswith("delete: command ")
        await knows(root, {}, TWO)
        forced = await ote("undo", id, "--on", "one", "--force", "--wait", "-o", "json")
        assert (forced.code, forced.json()["summary"]) == (0, {"undo": 1})
        await knows(root, {}, ONE)
        assert (await ote("undo", "not-an-id")).code == 2
