"""The audit passes what is right, and names what is wrong: real logs, told lies one at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bus import types
from bus.errors import NotFound
from bus.event import Addressee, Cover, Draft, Event, checksum
from services.cli.demo.audit import AuditReport, Outage, audit
from services.shims.local.shim import APPLIED
from store.api import Cursor, Tx
from store.sql import open_log

ROOT, SITE = "root", "root.site"
FIRST, SECOND, THIRD = (f"01a20000-0000-7000-8000-00000000000{n}" for n in (1, 2, 3))
EARLY, LATE = "2026-01-01T00:00:00.000000Z", "2100-01-01T00:00:00.000000Z"

Do = Callable[[Tx[Event]], Any]


def config(value: str) -> dict[str, Any]:
    metadata = {"name": "a", "namespace": "shop"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"x": value}}


class Logs:
    """The logs of a root and one site."""

    def __init__(self, directory: Path) -> None:
        self.files = {path: directory / f"{path}.db" for path in (ROOT, SITE)}

    async def write(self, path: str, op: Do) -> Any:
        async with open_log(self.files[path], source=path, decode=Event.decode) as log:
            return await log.write(op)

    async def copy(self, of: str, to: str) -> None:
        """Everything of one source that is shared, into another log."""
        async with open_log(self.files[of], source=of, decode=Event.decode) as log:
            stored = await log.read(lambda reader: reader.events(limit=10_000, source=of))
        await self.write(to, lambda tx: tx.record(one.event for one in stored if one.event.seq is not None))

    async def audit(self, **options: Any) -> AuditReport:
        return await audit(self.files, **options)

    def tamper(self, path: str, statement: str, *parameters: Any) -> None:
        connection = sqlite3.connect(self.files[path])
        with connection:
            assert connection.execute(statement, parameters).rowcount > 0
        connection.close()


def submit(tx: Tx[Event], command: str, value: str, *, key: str | None = None, covers: tuple[Cover, ...] = ()) -> Event:
    data: dict[str, Any] = {
        "command": command,
        "selector": SITE,
        "do": {"verb": "apply", "args": {"manifest": config(value)}},
        "digest": "d",
        "count": 1,
    }
    to = (Addressee(SITE, tx.number(SITE), ""),)
    return tx.append(
        Draft(types.SUBMITTED, f"ote.cmd.{SITE}", data | ({"key": key} if key else {}), to=to, supersedes=covers)
    )


def say(tx: Tx[Event], kind: str, command: str, cause: str | None = None, **data: Any) -> Event:
    return tx.append(Draft(kind, f"ote.evt.{kind}.{SITE}", {"command": command, **data}, cause=cause))


def receive(tx: Tx[Event], mail: Event) -> None:
    number = mail.to[0].number
    tx.move_cursor(ROOT, Cursor(mail.epoch, number))
    say(tx, types.RECEIVED, mail.data["command"], mail.id, origin=ROOT, number=number)


def execute(tx: Tx[Event], mail: Event, result: str = "created", *, change: bool = True) -> None:
    value = mail.data["do"]["args"]["manifest"]["data"]["x"]
    if change:
        tx.append(Draft(APPLIED, f"ote.evt.object-applied.{SITE}", {"object": config(value)}, shared=False))
    objects = [{"kind": "ConfigMap", "name": "a", "namespace": "shop", "result": result}]
    say(tx, types.SUCCEEDED, mail.data["command"], mail.id, result={"objects": objects})


def announce(tx: Tx[Event]) -> None:
    data = {"path": SITE, "tags": {}, "shims": [{"kind": "local", "default": True}], "instance": "i", "depth": 1}
    tx.append(Draft(types.ANNOUNCED, f"ote.evt.cluster-announced.{SITE}", data))


async def two_commands(logs: Logs) -> list[Event]:
    """The root sends two commands to the site, which carries them out; nobody else has heard of it."""
    mail: list[Event] = await logs.write(ROOT, lambda tx: [submit(tx, FIRST, "1"), submit(tx, SECOND, "2")])
    await logs.write(SITE, announce)
    await logs.copy(ROOT, SITE)
    for number, event in enumerate(mail):
        result = "configured" if number else "created"
        await logs.write(SITE, lambda tx, event=event, result=result: (receive(tx, event), execute(tx, event, result)))
    return mail


@pytest.fixture
def logs(tmp_path: Path) -> Logs:
    return Logs(tmp_path)


def the_only_finding(report: AuditReport, promise: str, text: str) -> None:
    assert not report.ok
    assert [finding.promise for finding in report.findings] == [promise], str(report)
    assert text in report.findings[0].what
    assert report.kept()[promise] is False and sum(report.kept().values()) == len(report.kept()) - 1


async def test_what_is_right_passes(logs: Logs) -> None:
    await two_commands(logs)
    await logs.copy(SITE, ROOT)
    report = await logs.audit(acknowledged={FIRST: [SITE], SECOND: [SITE]})
    assert report.ok, str(report)
    assert str(report) == "every promise was kept"
    wanted = {"logs": 2, "commands": 2, "deliveries": 2, "succeeded": 2, "mailboxes": 1, "changes": 2, "objects": 1}
    assert wanted.items() <= report.counts.items()
    assert report.data()["ok"] is True


async def test_a_log_that_is_not_there_is_not_made(logs: Logs) -> None:
    with pytest.raises(NotFound, match="no log of root"):
        await logs.audit()
    assert not logs.files[ROOT].exists()


async def test_what_did_not_travel_is_named(logs: Logs) -> None:
    await two_commands(logs)
    report = await logs.audit()
    assert {finding.promise for finding in report.findings} == {"all logs agree", "all result times original"}
    assert any("1-5 is missing" in finding.what and finding.path == ROOT for finding in report.findings)


async def test_mail_that_did_not_travel_is_named(logs: Logs) -> None:
    await logs.write(ROOT, lambda tx: submit(tx, FIRST, "1"))
    await logs.write(SITE, announce)
    await logs.copy(SITE, ROOT)
    report = await logs.audit(settled=False)
    the_only_finding(report, "all logs agree", "mail 1 of root")
    whole = await logs.audit()
    assert any("never came" in finding.what for finding in whole.findings)


async def test_a_second_end_is_named(logs: Logs) -> None:
    mail = await two_commands(logs)
    await logs.write(SITE, lambda tx: say(tx, types.FAILED, SECOND, mail[1].id))
    await logs.copy(SITE, ROOT)
    the_only_finding(await logs.audit(), "each command once", "ended 2 times: succeeded, failed")


async def test_a_second_receipt_is_named(logs: Logs) -> None:
    mail = await two_commands(logs)
    await logs.write(SITE, lambda tx: say(tx, types.RECEIVED, SECOND, mail[1].id, origin=ROOT, number=2))
    await logs.copy(SITE, ROOT)
    the_only_finding(await logs.audit(), "each command once", "was received 2 times")


async def test_an_open_command_is_named_when_all_should_be_over(logs: Logs) -> None:
    await two_commands(logs)
    third = await logs.write(ROOT, lambda tx: submit(tx, THIRD, "3"))
    await logs.copy(ROOT, SITE)
    await logs.write(SITE, lambda tx: receive(tx, third))
    await logs.copy(SITE, ROOT)
    assert (await logs.audit(settled=False)).ok
    the_only_finding(await logs.audit(), "each command once", "was received and has not ended")


async def test_a_command_for_somebody_else_is_named(logs: Logs) -> None:
    await two_commands(logs)
    await logs.write(SITE, lambda tx: say(tx, types.FAILED, THIRD))
    await logs.copy(SITE, ROOT)
    the_only_finding(await logs.audit(), "each command once", "was never sent there")


async def test_a_wrong_order_is_named(logs: Logs) -> None:
    mail: list[Event] = await logs.write(ROOT, lambda tx: [submit(tx, FIRST, "1"), submit(tx, SECOND, "2")])
    await logs.write(SITE, announce)
    await logs.copy(ROOT, SITE)
    for event in reversed(mail):
        await logs.write(SITE, lambda tx, event=event: (receive(tx, event), execute(tx, event, "configured")))
    await logs.copy(SITE, ROOT)
    the_only_finding(await logs.audit(), "in order per origin", "in the order [2, 1]")


async def test_mail_that_was_passed_over_is_named(logs: Logs) -> None:
    mail: list[Event] = await logs.write(ROOT, lambda tx: [submit(tx, FIRST, "1"), submit(tx, SECOND, "2")])
    await logs.write(SITE, announce)
    await logs.copy(ROOT, SITE)
    await logs.write(SITE, lambda tx: (receive(tx, mail[1]), execute(tx, mail[1])))
    await logs.copy(SITE, ROOT)
    the_only_finding(await logs.audit(settled=False), "in order per origin", "mail 1 of root")


async def test_a_superseded_command_is_not_missed(logs: Logs) -> None:
    first = await logs.write(ROOT, lambda tx: submit(tx, FIRST, "1", key="k"))
    cover = Cover(SITE, 1, FIRST, first.checksum)
    second = await logs.write(ROOT, lambda tx: submit(tx, SECOND, "2", key="k", covers=(cover,)))
    await logs.write(SITE, announce)
    await logs.write(SITE, lambda tx: tx.record([second]))
    await logs.write(SITE, lambda tx: say(tx, types.SUPERSEDED, FIRST, second.id, by=SECOND))
    await logs.write(SITE, lambda tx: (receive(tx, second), execute(tx, second)))
    await logs.copy(SITE, ROOT)
    report = await logs.audit(acknowledged={FIRST: [SITE], SECOND: [SITE]})
    assert report.ok, str(report)
    assert (report.counts["superseded"], report.counts["succeeded"]) == (1, 1)


async def test_an_acknowledged_command_that_is_nowhere_is_named(logs: Logs) -> None:
    await two_commands(logs)
    await logs.copy(SITE, ROOT)
    the_only_finding(await logs.audit(acknowledged={THIRD: [SITE]}), "nothing acknowledged is lost", THIRD)


async def test_an_effect_without_a_command_is_named(logs: Logs) -> None:
    await two_commands(logs)
    await logs.write(SITE, lambda tx: tx.append(Draft(APPLIED, "s", {"object": config("9")}, shared=False)))
    await logs.write(SITE, announce)
    await logs.copy(SITE, ROOT)
    report = await logs.audit()
    assert {finding.promise for finding in report.findings} == {"effects once, and as reported"}
    assert any("changed without a command" in finding.what for finding in report.findings)


async def test_a_result_without_its_effect_is_named(logs: Logs) -> None:
    await two_commands(logs)
    third = await logs.write(ROOT, lambda tx: submit(tx, THIRD, "3"))
    await logs.copy(ROOT, SITE)
    await logs.write(SITE, lambda tx: (receive(tx, third), execute(tx, third, "configured", change=False)))
    await logs.copy(SITE, ROOT)
    report = await logs.audit()
    assert {finding.promise for finding in report.findings} == {"effects once, and as reported"}
    assert any("and made changes of nothing" in finding.what for finding in report.findings)
    assert any("does not hold what was applied last" in finding.what for finding in report.findings)


async def test_an_object_that_is_not_what_the_log_says_is_named(logs: Logs) -> None:
    await two_commands(logs)
    await logs.copy(SITE, ROOT)
    logs.tamper(SITE, "DELETE FROM objects")
    the_only_finding(await logs.audit(), "effects once, and as reported", "ConfigMap/a is missing")


async def test_other_bytes_are_named(logs: Logs) -> None:
    await two_commands(logs)
    await logs.copy(SITE, ROOT)
    body = (
        sqlite3.connect(logs.files[ROOT])
        .execute("SELECT body FROM events WHERE source = ? ORDER BY seq LIMIT 1", (SITE,))
        .fetchone()[0]
    )
    forged = body.replace(b"local", b"lokal")
    statement = "UPDATE events SET body = ?, checksum = ? WHERE body = ?"
    logs.tamper(ROOT, statement, forged, checksum(forged), body)
    the_only_finding(await logs.audit(), "all logs agree", "1 has other bytes than elsewhere")


async def test_another_time_is_named(logs: Logs) -> None:
    await two_commands(logs)
    await logs.copy(SITE, ROOT)
    logs.tamper(ROOT, "UPDATE targets SET executed = ? WHERE command = ?", LATE, FIRST)
    the_only_finding(await logs.audit(), "all result times original", FIRST)


async def test_an_outage_that_nobody_went_on_in_is_named(logs: Logs) -> None:
    await two_commands(logs)
    await logs.copy(SITE, ROOT)
    before = Outage(SITE, EARLY, EARLY, [FIRST])
    the_only_finding(await logs.audit(outages=[before]), "what is cut off goes on by itself", "not between")
    never_off = Outage(SITE, EARLY, LATE, [FIRST])
    the_only_finding(await logs.audit(outages=[never_off]), "what is cut off goes on by itself", "was known at")
