"""Turns: who asks for little does not wait for who asks for much."""

from __future__ import annotations

from functools import partial

import pytest

from bus.turns import Turn, Turns, asker_of, enter, rest


class Desk:
    """Work that is done when the test says so."""

    def __init__(self, at_once: int) -> None:
        self.turns = Turns(at_once)
        self.begun: list[str] = []
        self._held: dict[str, Turn] = {}

    def ask(self, asker: str, what: str) -> None:
        self.turns.take(asker, partial(self._begin, what))

    def _begin(self, what: str, turn: Turn) -> None:
        self.begun.append(what)
        self._held[what] = turn

    def done(self, what: str) -> None:
        self._held[what].over()


def test_a_single_request_goes_before_the_rest_of_a_storm() -> None:
    desk = Desk(2)
    for number in range(5):
        desk.ask("storm", f"s{number}")
    desk.ask("ann", "a0")
    assert desk.begun == ["s0", "s1"]
    desk.done("s0")
    desk.done("s1")
    assert desk.begun == ["s0", "s1", "s2", "a0"]
    desk.done("a0")
    desk.done("s2")
    assert desk.begun[4:] == ["s3", "s4"]


def test_a_turn_that_is_over_twice_is_over_once_and_free_room_is_used_at_once() -> None:
    desk = Desk(1)
    desk.ask("ann", "a0")
    desk.done("a0")
    desk.done("a0")
    desk.ask("ann", "a1")
    desk.ask("ann", "a2")
    assert desk.begun == ["a0", "a1"]


def test_all_begin_when_there_is_no_more_order_to_keep() -> None:
    desk = Desk(1)
    for number in range(3):
        desk.ask("ann", f"a{number}")
    desk.turns.open()
    assert desk.begun == ["a0", "a1", "a2"]
    for what in list(desk.begun):
        desk.done(what)
    desk.ask("ann", "a3")
    desk.ask("ann", "a4")
    assert desk.begun[3:] == ["a3"]


def test_who_only_waits_gives_his_turn_back() -> None:
    desk = Desk(1)
    turns: list[Turn] = []
    desk.turns.take("ann", turns.append)
    desk.ask("bob", "b0")
    rest()
    assert desk.begun == []
    enter(turns[0])
    rest()
    enter(None)
    assert desk.begun == ["b0"]


@pytest.mark.parametrize(
    ("reply", "asker"),
    [
        ("_INBOX.ab12.7", "_INBOX.ab12"),
        ("_INBOX.root_site.ab.7", "_INBOX.root_site.ab"),
        ("_INBOX.ab12", "_INBOX.ab12"),
        ("", ""),
    ],
)
def test_an_asker_is_known_by_his_inbox(reply: str, asker: str) -> None:
    assert asker_of(reply) == asker
