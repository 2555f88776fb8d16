"""How a command to many is cut into chunks."""

from __future__ import annotations

from services.controller.delivery.submission import CHUNK, OWN_CHUNK, Target, plan


def cut(paths: list[str]) -> list[tuple[str, int]]:
    return [(chunk.subject, len(chunk.targets)) for chunk in plan([Target(path) for path in paths], lambda _: None)]


def test_nobody_needs_no_chunk() -> None:
    assert cut([]) == []


def test_one_is_addressed_by_its_path() -> None:
    assert cut(["root.east.site1"]) == [("ote.cmd.root.east.site1", 1)]


def test_few_share_a_chunk_wherever_they_are() -> None:
    assert cut(["root.east.a", "root.east.b", "root.west.c"]) == [("ote.under.root", 3)]


def test_a_subtree_with_many_has_its_own_and_others_do_not_read_it() -> None:
    paths = [f"root.r{region}.c{n}" for region in range(3) for n in range(OWN_CHUNK)]
    assert cut([*paths, "root.x.one", "root.y.two"]) == [
        *((f"ote.under.root.r{region}", OWN_CHUNK) for region in range(3)),
        ("ote.under.root", 2),
    ]


def test_many_below_one_parent_are_cut_by_number() -> None:
    assert cut([f"root.c{n:04}" for n in range(CHUNK + 1)]) == [("ote.under.root", CHUNK), ("ote.cmd.root.c0300", 1)]


def test_subtrees_are_cut_again_where_they_branch() -> None:
    deep = [f"root.east.r{region}.c{n}" for region in range(2) for n in range(OWN_CHUNK)]
    assert cut([*deep, "root.east"]) == [
        ("ote.under.root.east.r0", OWN_CHUNK),
        ("ote.under.root.east.r1", OWN_CHUNK),
        ("ote.cmd.root.east", 1),
    ]


def test_every_target_is_in_one_chunk() -> None:
    paths = [f"root.r{n % 7}.s{n % 40}.c{n}" for n in range(1000)]
    chunks = plan([Target(path) for path in paths], lambda _: None)
    assert sorted(target.path for chunk in chunks for target in chunk.targets) == sorted(paths)
    assert all(len(chunk.targets) <= CHUNK for chunk in chunks)
