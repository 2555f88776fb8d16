"""Work on one object or in one lane goes in order; other work overlaps; unknown work runs alone."""

from __future__ import annotations

import random

from services.shims.work import Work, WorkQueue


def work(id: str, *keys: str, alone: bool = False, ordered: bool = False) -> Work[None]:
    return Work(id, None, None if alone else frozenset(keys), ordered=ordered)


def ids(due: list[Work[None]]) -> list[str]:
    return [piece.id for piece in due]


def test_work_on_the_same_object_waits_and_other_work_does_not() -> None:
    queue: WorkQueue[None] = WorkQueue()
    assert ids(queue.add(work("a", "x"))) == ["a"]
    assert ids(queue.add(work("b", "x", "y"))) == []
    assert ids(queue.add(work("c", "z"))) == ["c"]
    assert ids(queue.add(work("d", "y"))) == []
    assert ids(queue.done("a")) == ["b"]
    assert ids(queue.done("b")) == ["d"]


def test_the_weight_is_that_of_all_that_is_not_done() -> None:
    queue: WorkQueue[None] = WorkQueue()
    for id, weight in (("a", 3), ("b", 5), ("c", 7)):
        queue.add(Work(id, None, frozenset({"x"}), weight=weight))
    assert queue.weight == 15
    assert queue.drop("b")
    assert queue.weight == 15
    assert ids(queue.done("a")) == ["c"]
    assert (queue.weight, len(queue)) == (7, 1)


def test_unknown_objects_run_alone() -> None:
    queue: WorkQueue[None] = WorkQueue()
    queue.add(work("a", "x"))
    assert queue.add(work("b", alone=True)) == []
    assert queue.add(work("c", "y")) == []
    assert ids(queue.done("a")) == ["b"]
    assert ids(queue.done("b")) == ["c"]


def test_dropped_work_keeps_its_place_until_its_turn() -> None:
    queue: WorkQueue[None] = WorkQueue()
    queue.add(work("a", "x"))
    queue.add(work("b", "x"))
    queue.add(work("c", "x"))
    assert queue.drop("b")
    assert not queue.drop("b")
    assert not queue.drop("a")
    assert [piece.id for piece in queue.waiting()] == ["c"]
    assert ids(queue.done("a")) == ["c"]
    assert "b" not in queue


def test_ordered_work_follows_ordered_work_as_soon_as_that_is_started() -> None:
    queue: WorkQueue[None] = WorkQueue()
    queue.add(work("slow", "x"))
    for number in range(3000):
        assert queue.add(work(f"{number}", "x", ordered=True)) == []
    assert ids(queue.done("slow")) == [f"{number}" for number in range(3000)]
    assert ids(queue.add(work("next", "x", ordered=True))) == ["next"]
    assert queue.add(work("plain", "x")) == []
    for number in range(3000):
        assert queue.done(f"{number}") == []
    assert ids(queue.done("next")) == ["plain"]
    assert ids(queue.done("plain")) == []
    assert len(queue) == 0


def test_random_work_keeps_order_for_each_key_and_always_ends() -> None:
    for seed in range(200):
        rng = random.Random(seed)
        queue: WorkQueue[None] = WorkQueue()
        keys: dict[str, frozenset[str] | None] = {}
        running: list[str] = []
        started: list[str] = []

        def start(due: list[Work[None]]) -> None:
            for piece in due:
                for other in running:
                    mine, theirs = keys[piece.id], keys[other]
                    assert mine is not None and theirs is not None and not mine & theirs, (seed, piece.id, other)
                running.append(piece.id)
                started.append(piece.id)

        for number in range(60):
            name = str(number)
            keys[name] = None if rng.random() < 0.1 else frozenset(rng.sample("vwxyz", rng.randint(1, 2)))
            start(queue.add(Work(name, None, keys[name])))
            if (waiting := queue.waiting()) and rng.random() < 0.2:
                assert queue.drop(rng.choice(waiting).id)
            while running and rng.random() < 0.6:
                start(queue.done(running.pop(rng.randrange(len(running)))))
        while running:
            start(queue.done(running.pop(rng.randrange(len(running)))))
        assert len(queue) == 0, seed
        for key in "vwxyz":
            touching = [int(name) for name in started if keys[name] is None or key in (keys[name] or ())]
            assert touching == sorted(touching), (seed, key)
