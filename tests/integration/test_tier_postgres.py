"""Tiers whose logs are in a PostgreSQL database: killed, restarted, and with the database away for a while."""

from __future__ import annotations

from pathlib import Path

import pytest

from bus.errors import Unavailable
from tests.integration.cli import Ote
from tests.integration.tiers import Tiers
from tests.postgres import PostgresServer

SITE = "root.site"


async def test_a_tier_goes_on_with_what_it_had(postgres: PostgresServer, tiers: Tiers) -> None:
    root = await tiers.spawn("root", shims=(), log_url=postgres.url)
    site = await tiers.spawn(SITE, root, log_url=postgres.url)
    assert (root.info["log"], site.info["log"]) == ("postgresql:///ote (root)", "postgresql:///ote (root.site)")
    assert not list(root.state.glob("log.db*"))
    sent = [(await root.submit(SITE, f"c{number}"))["id"] for number in range(5)]
    await root.done(sent[-1])
    await site.kill()
    sent += [(await root.submit(SITE, f"c{number}"))["id"] for number in range(5, 8)]
    await root.kill()
    await root.start()
    await site.start()
    for id in sent:
        assert (await root.done(id))["summary"] == {"succeeded": 1}
    await site.tells("succeeded", SITE, sent)
    await root.tells("succeeded", SITE, sent)
    status = await root.ask("status")
    assert status["log"]["bytes"] > 0


async def test_a_tier_lives_through_a_restart_of_its_database(tiers: Tiers) -> None:
    with PostgresServer(durable=True) as server:
        root = await tiers.grow("root", log_url=server.url)
        site = await tiers.grow(SITE, root)
        before = (await root.submit(SITE, "before"))["id"]
        await root.done(before)
        server.stop()
        with pytest.raises(Unavailable) as refused:
            await root.submit(SITE, "meanwhile")
        assert refused.value.hint == (
            "see that the database runs, and can be reached from here; what was accepted before is safe"
        )
        server.start()
        after = [(await root.submit(to, "after"))["id"] for to in (SITE, "root")]
        for id in (before, *after):
            assert (await root.done(id))["summary"] == {"succeeded": 1}
        await site.tells("succeeded", SITE, [before, after[0]])
        await root.stop()


async def test_the_tools_for_a_log_work_there_too(postgres: PostgresServer, tiers: Tiers, tmp_path: Path) -> None:
    ote, url = Ote(tmp_path, None), postgres.url
    root = await tiers.grow("root", log_url=url)
    await root.done((await root.submit("root", "c"))["id"])
    whole = await ote("store", "verify", "--log", url)
    assert (whole.code, whole.err) == (0, "")
    assert whole.out.startswith("postgresql:///ote is whole\nwhat is in it survives a power cut (FULL since 2")
    postgres.execute("UPDATE root.objects SET manifest = '\\x80'")
    found = await ote("store", "verify", "--log", url, "-o", "json")
    assert (found.code, {finding["kind"] for finding in found.json()["findings"]}) == (1, {"objects"})
    built = await ote("store", "rebuild", "--log", url, "objects")
    assert (built.code, built.out) == (0, "rebuilt objects of the log of root\n")
    assert (await ote("store", "verify", "--log", url)).code == 0
    await tiers.grow(SITE, root, log_url=url)
    unclear = await ote("store", "verify", "--log", url)
    assert (unclear.code, "say which: root, root.site" in unclear.err) == (6, True)
    assert (await ote("store", "verify", "--log", url, "--path", SITE)).code == 0
    away = await ote("store", "verify", "--log", f"postgresql://me:secret@/none?host={tmp_path}")
    assert (away.code, "secret" in away.err, "Traceback" in away.err) == (6, False, False)


async def test_compacting_a_log_there(postgres: PostgresServer, tiers: Tiers, tmp_path: Path) -> None:
    ote, url = Ote(tmp_path, None), postgres.url
    root = await tiers.spawn("root", log_url=url)
    ids = [(await root.submit("root", f"c{number}"))["id"] for number in range(30)]
    for id in ids:
        await root.done(id)
    before = len(await root.log())
    words = ("store", "compact", "--log", url, "--older-than", "0s")
    dry = (await ote(*words, "--dry-run", "-o", "json")).json()
    assert (dry["log"], dry["dry_run"], dry["shrunk"]) == ("postgresql:///ote", True, False)
    assert dry["dropped"] >= 30 and len(await root.log()) >= before
    done = await ote(*words, "-o", "json")
    assert (done.code, done.err) == (0, "")
    assert done.json()["dropped"] >= dry["dropped"]
    # Its tier runs meanwhile, goes on, and still knows what became of the commands.
    assert len(await root.log()) < before
    assert (await root.done((await root.submit("root", "c"))["id"]))["summary"] == {"succeeded": 1}
    assert (await root.done(ids[0]))["summary"] == {"succeeded": 1}
    assert (await ote("store", "verify", "--log", url)).code == 0
    size = done.json()["bytes"] // 2
    smaller = await ote("store", "compact", "--log", url, "--to-size", str(size))
    assert (smaller.code, "dropped" in smaller.out, "Traceback" in smaller.err) == (0, True, False)
    assert (await ote("store", "verify", "--log", url)).code == 0
    await root.kill()
    await root.start()
    assert (await root.done(ids[-1]))["summary"] == {"succeeded": 1}


async def test_the_doctor_looks_into_a_log_there(postgres: PostgresServer, tiers: Tiers, tmp_path: Path) -> None:
    ote, url = Ote(tmp_path, None), postgres.url
    root = await tiers.spawn("root", log_url=url)
    site = await tiers.spawn(SITE, root, log_url=url)
    ote.environ["OTE_SERVER"] = root.info["nats"]

    async def log_findings(*words: str) -> list[str]:
        found = (await ote("doctor", "-o", "json", *words)).json()["findings"]
        return [f"{one['severity']} {one['what']}" for one in found if one["check"] == "log"]

    assert await log_findings("--log", url, "--path", "root") == []
    assert await log_findings("--log", url, "--state", str(site.state)) == []
    [unclear] = await log_findings("--log", url)
    assert "holds several logs, say which: root, root.site" in unclear
    [nowhere] = await log_findings("--state", str(site.state))
    assert nowhere.startswith("note there is no log at")
    with PostgresServer() as other:
        [empty] = await log_findings("--log", other.url)
        assert "there is no log in" in empty
        gone = other.url
    [away] = await log_findings("--log", gone)
    assert away.startswith("error the log can not be opened")
    await site.kill()
    postgres.execute('UPDATE "root.site".clusters SET tags = \'{"lie": ""}\'')
    ote.environ["OTE_TIER_LOG_URL"] = url
    [lie] = await log_findings("--path", SITE)
    assert lie.startswith("error postgresql:///ote is not whole")
    assert (await ote("doctor", "--log", "log.db")).code == 2
    [unread] = await log_findings("--log", "postgresql://me:secret@host:port/x")
    assert "no URL of a database" in unread and "secret" not in unread


async def test_who_joins_a_tier_must_use_its_log(postgres: PostgresServer, tiers: Tiers, tmp_path: Path) -> None:
    root = await tiers.grow("root", log_url=postgres.url)
    ote = Ote(tmp_path, None)
    joining = ("tier", "--path", "root", "--state", str(root.state), "--service", "shims")
    apart = await ote(*joining)
    assert (apart.code, "log_url" in apart.err) == (6, True)
    wrong = await ote(*joining, "--log-url", "mysql://root@host/ote")
    assert (wrong.code, "postgresql://USER@HOST/DATABASE" in wrong.err) == (2, True)
