"""When a tier moves, and when it goes back: decided from facts, on a clock of its own."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from dataclasses import replace

from leafnodes.probe import Health
from services.controller.links.decider import (
    DEAF,
    PATIENCE,
    PENALTY,
    RELOAD_AFTER,
    RELOAD_EVERY,
    RESTART_AFTER,
    SETTLE,
    Decider,
    Facts,
    Order,
)

HOME, WEST, NORTH = "root.east", "root.west", "root.north"
GOOD = dict.fromkeys((HOME, WEST, NORTH), Health.GOOD)


class World:
    """A link whose other end and whose answers a test sets; time passes when it is asked what to do."""

    def __init__(self, fallback_after: float = 10.0, health: Mapping[str, Health] = GOOD) -> None:
        self.decider = Decider(HOME, fallback_after, random.Random(1))
        self.now = 1000.0
        self.linked: str | None = HOME
        self.answered = True
        self.health = dict(health)
        self.parent: str | None = None
        self.alternates = [WEST, NORTH]
        self.relays: set[str] = set()

    def look(self) -> Order:
        alternates = (*self.alternates, *sorted(self.relays))
        facts = Facts(self.now, self.linked, self.answered, alternates, self.health, self.parent, self.relays)
        return self.decider.decide(facts)

    def run(self, seconds: float) -> list[Order]:
        """What is ordered in this time; a move to a good place succeeds at once."""
        done = []
        end = self.now + seconds
        while self.now < end:
            order = self.look()
            if order.move is not None:
                there = self.health[order.move].answers
                self.linked, self.answered = (order.move, True) if there else (None, False)
            if order.move is not None or order.reload or order.restart:
                done.append(order)
            self.now += order.again or 0.5
        return done

    def moves(self, seconds: float) -> list[str | None]:
        return [order.move for order in self.run(seconds)]

    def lose(self, health: Health, *, linked: bool = False) -> None:
        self.health[HOME] = health
        self.linked, self.answered = (HOME if linked else None), False


def test_nothing_is_done_while_the_parent_answers() -> None:
    world = World()
    assert world.run(60) == []
    assert world.look().again is None


def test_a_dead_parent_is_left_at_once_for_the_first_alternate() -> None:
    world = World()
    world.lose(Health.DEAD)
    assert world.moves(0.2) == [WEST]
    assert "dead" in world.decider.why


def test_a_hung_parent_is_left_although_the_link_is_up() -> None:
    world = World()
    world.lose(Health.HUNG, linked=True)
    assert world.moves(0.2) == [WEST]
    assert "hung" in world.decider.why


def test_a_parent_whose_server_is_well_is_given_time_to_answer() -> None:
    world = World()
    world.lose(Health.GOOD, linked=True)
    assert world.moves(DEAF - 0.5) == []
    assert world.moves(1) == [WEST]


def test_a_server_that_was_only_started_again_keeps_its_children() -> None:
    world = World()
    world.lose(Health.GOOD)
    assert world.moves(PATIENCE / 2) == []
    world.linked, world.answered = HOME, True
    assert world.moves(30) == []


def test_alternates_that_do_not_answer_are_passed_over() -> None:
    world = World(health=GOOD | {WEST: Health.HUNG})
    world.lose(Health.DEAD)
    assert world.moves(1) == [NORTH]


def test_an_alternate_behind_which_nobody_answers_is_left_and_avoided() -> None:
    world = World()
    world.lose(Health.DEAD)
    first = world.look()
    world.now += first.again or 0
    assert world.look().move == WEST
    world.linked, world.answered = WEST, False
    world.now += SETTLE + 0.1
    assert world.look().move == NORTH
    world.linked, world.answered = NORTH, True
    assert world.moves(PENALTY * 3) == []


def test_a_full_alternate_is_left_for_the_next() -> None:
    world = World()
    world.lose(Health.DEAD)
    assert world.moves(0.2) == [WEST]
    world.decider.refused(world.now)
    world.answered = False
    assert world.moves(0.2) == [NORTH]


def test_nobody_there_means_to_stay_at_home_and_to_try_on() -> None:
    world = World(health=dict.fromkeys(GOOD, Health.DEAD))
    world.lose(Health.DEAD)
    assert world.moves(60) == []
    world.health[NORTH] = Health.GOOD
    assert world.moves(2) == [NORTH]


def test_it_goes_home_when_that_has_been_healthy_for_a_while() -> None:
    world = World(fallback_after=10)
    world.lose(Health.DEAD)
    assert world.moves(1) == [WEST]
    assert world.moves(60) == []
    world.health[HOME] = Health.GOOD
    assert world.moves(9) == []
    assert world.moves(2) == [HOME]


def test_it_stays_away_while_those_above_do_not_reach_its_parent() -> None:
    world = World(fallback_after=10)
    world.lose(Health.DEAD)
    world.run(1)
    world.health[HOME] = Health.GOOD
    world.parent = "offline"
    assert world.moves(60) == []
    world.parent = "online"
    assert world.moves(12) == [HOME]


def test_a_parent_that_flaps_must_be_healthy_for_longer_each_time() -> None:
    world = World(fallback_after=10)
    waited = []
    for _ in range(3):
        world.lose(Health.DEAD)
        world.run(5)
        world.health[HOME] = Health.GOOD
        begin = world.now
        while world.decider.at != HOME:
            world.run(0.5)
        waited.append(world.now - begin)
        world.run(1)
    assert waited[0] < waited[1] < waited[2]
    world.run(10 * 10 * 8)
    assert world.decider.healthy_time == 10


def test_a_home_that_cannot_be_reached_after_all_is_tried_more_rarely() -> None:
    world = World(fallback_after=1)
    world.lose(Health.DEAD)
    world.run(1)
    world.health[HOME] = Health.GOOD
    tries = []
    while world.now < 1300:
        order = world.look()
        if order.move is not None:
            world.linked, world.answered = (None, False) if order.move == HOME else (order.move, True)
            tries += [world.now] if order.move == HOME else []
        world.now += order.again or 0.5
    pauses = [later - earlier for earlier, later in itertools.pairwise(tries)]
    assert len(pauses) >= 3
    assert pauses == sorted(pauses)


def test_a_parent_in_maintenance_is_left_and_not_gone_back_to() -> None:
    world = World(fallback_after=1)
    world.parent = "drained"
    assert world.moves(1) == [WEST]
    assert world.moves(30) == []
    world.parent = "online"
    assert world.moves(3) == [HOME]


def test_a_link_that_stays_away_although_the_parent_answers_is_made_anew_then_the_server() -> None:
    world = World(health={HOME: Health.GOOD, WEST: Health.DEAD, NORTH: Health.DEAD})
    world.lose(Health.GOOD)
    orders = world.run(RESTART_AFTER + 60)
    assert [(order.reload, order.restart) for order in orders] == [(True, False), (False, True)]
    assert RELOAD_AFTER < RESTART_AFTER
    orders = world.run(2 * RELOAD_EVERY)
    assert [(order.reload, order.restart) for order in orders] == [(True, False), (True, False)], (
        "never the server twice"
    )


def test_two_orphans_do_not_move_in_the_same_moment() -> None:
    left = set()
    for seed in range(20):
        decider = Decider(HOME, 10.0, random.Random(seed))
        health = GOOD | {HOME: Health.DEAD}
        order = decider.decide(Facts(0.0, None, False, (WEST,), health))
        left.add(round(order.again or 0, 3))
    assert len(left) > 15


def relayed(*, alone: bool = True) -> World:
    """A tier with two siblings, which both reach its parent, and without others if it is alone."""
    world = World(health=GOOD | {"root.a": Health.GOOD, "root.b": Health.GOOD})
    world.relays = {"root.a", "root.b"}
    world.alternates = [] if alone else world.alternates
    return world


def test_a_sibling_is_the_last_resort() -> None:
    world = relayed(alone=False)
    world.lose(Health.DEAD)
    assert world.moves(0.2) == [WEST]
    world = relayed()
    world.lose(Health.DEAD)
    assert world.moves(0.2) == ["root.a"]


def test_a_relay_that_ends_is_left_for_the_next_and_home_is_gone_to_when_it_can_be_reached() -> None:
    world = relayed()
    world.lose(Health.DEAD)
    world.run(0.2)
    world.health["root.a"] = Health.DEAD
    world.linked, world.answered = None, False
    assert world.moves(0.3) == ["root.b"]
    assert world.decider.why == "root.a passes the link on no more"
    world.health[HOME] = Health.GOOD
    assert world.moves(12) == [HOME]


def test_a_parent_in_maintenance_is_not_reached_through_siblings_either() -> None:
    world = relayed()
    world.parent = "drained"
    assert world.moves(30) == []
    world.alternates = [WEST]
    assert world.moves(1) == [WEST]
    world.parent, world.health[HOME] = "online", Health.DEAD
    world.alternates = []
    world.linked, world.answered = None, False
    world.run(2)
    assert world.decider.at == "root.a"
    world.parent, world.alternates = "drained", [WEST]
    assert world.moves(30) == [WEST]


def test_it_begins_where_it_was_and_leaves_that_at_once_if_nobody_is_there() -> None:
    decider = Decider(HOME, 10.0, random.Random(1), at=WEST)
    assert decider.decide(Facts(0.0, WEST, True, (WEST, NORTH), GOOD)).move is None
    decider = Decider(HOME, 10.0, random.Random(1), at=WEST)
    facts = Facts(0.0, None, False, (WEST, NORTH), GOOD | {WEST: Health.DEAD})
    again = decider.decide(facts).again
    assert again is not None and again <= 0.1
    assert decider.decide(replace(facts, now=again + 0.01)).move == HOME
