"""What is particular to the log in PostgreSQL: lost connections, several logs in one database, text, row numbers."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from bus.event import Draft, Event
from store.errors import LogDamaged, StoreError
from store.sql import SqlLog, open_log
from store.sql.postgres import PostgresDatabase
from store.verify import verify
from store.whose import source_of
from tests.postgres import DATABASE, PostgresServer
from tests.support import eventually
from tests.unit.store.samples import Source, sample, submitted


def log_at(url: str, source: str = "root", **options: object) -> SqlLog[Event]:
    return open_log(url, source=source, decode=Event.decode, **options)  # type: ignore[arg-type]


async def numbers(log: SqlLog[Event]) -> list[int]:
    return [stored.event.data["n"] for stored in await log.read(lambda r: r.events(limit=1000))]


async def append(log: SqlLog[Event], n: int) -> Event:
    return await log.write(lambda tx: tx.append(sample(n)))


class Relay:
    """Between a log and its server: passes everything on, and cuts a commit that it is told to cut."""

    def __init__(self, directory: Path, server: PostgresServer) -> None:
        self._directory = directory
        self._to = server.directory / ".s.PGSQL.5432"
        #: When the next commit is cut: "before" the server hears of it, or "after" it is done.
        self.cut: str | None = None
        self.url = f"postgresql://postgres@/{DATABASE}?host={directory}"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Relay]:
        server = await asyncio.start_unix_server(self._serve, self._directory / ".s.PGSQL.5432")
        async with server:
            yield self

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_unix_connection(self._to)
        muted = False

        async def answers() -> None:
            while (data := await server.read(65536)) and not muted:
                to_client.write(data)
            to_client.close()

        back = asyncio.create_task(answers())
        while data := await client.read(65536):
            if self.cut and b"NOTIFY" in data and b"COMMIT" in data:
                muted, cut, self.cut = True, self.cut, None
                if cut == "before":
                    break
            to_server.write(data)
        to_server.close()
        await back


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """A server that a test may stop, and that keeps what it has acknowledged."""
    with PostgresServer(durable=True) as own:
        yield own


class TestLostConnections:
    @pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["stopped", "crashed"])
    async def test_a_server_that_was_away_is_found_again(self, server: PostgresServer, how: signal.Signals) -> None:
        async with log_at(server.url) as log:
            heard: list[int] = []

            async def follow() -> None:
                async for batch in log.follow():
                    heard.extend(stored.event.data["n"] for stored in batch)

            following = asyncio.create_task(follow())
            await append(log, 0)
            server.stop(how)
            with pytest.raises(StoreError, match="not written"):
                await append(log, 1)
            with pytest.raises(StoreError, match="not read"):
                await log.read(lambda r: r.last_row())
            server.start()
            assert (await append(log, 2)).seq == 2
            assert await numbers(log) == [0, 2]
            async with log_at(server.url) as other:
                await append(other, 3)
            await eventually(lambda: heard == [0, 2, 3])
            # Between two transactions nobody notices at all.
            server.stop(how)
            server.start()
            assert (await append(log, 4)).seq == 4
            assert await numbers(log) == [0, 2, 3, 4]
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
        assert verify(server.url, Event.decode) == []

    @pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["stopped", "crashed"])
    async def test_a_connection_that_is_lost_in_a_transaction_is_closed_without_a_word(
        self, server: PostgresServer, how: signal.Signals
    ) -> None:
        database = PostgresDatabase(sa.make_url(server.url), "root")
        database.create()
        session = database.session()
        session.begin_read()
        session.connection.execute(sa.select(1))
        server.stop(how)
        session.close()
        database.dispose()

    @pytest.mark.parametrize("moment", ["before", "after"])
    async def test_a_commit_whose_answer_was_lost_is_asked_for(
        self, postgres: PostgresServer, tmp_path: Path, moment: str
    ) -> None:
        async with Relay(tmp_path, postgres).running() as relay, log_at(relay.url) as log:
            await append(log, 0)
            relay.cut = moment
            if moment == "after":
                assert (await append(log, 1)).seq == 2
            else:
                with pytest.raises(StoreError, match="not written"):
                    await append(log, 1)
            assert relay.cut is None
            await append(log, 2)
            assert await numbers(log) == ([0, 1, 2] if moment == "after" else [0, 2])
            assert list((await log.read(lambda r: r.streams("root"))).values()) == [3 if moment == "after" else 2]

    async def test_one_that_can_not_be_asked_for_is_said_to_be_unknown(
        self, postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("store.sql.postgres.RESOLVE_SECONDS", 0.0)
        async with Relay(tmp_path, postgres).running() as relay, log_at(relay.url) as log:
            relay.cut = "after"
            with pytest.raises(StoreError, match="not known whether"):
                await append(log, 0)
            await append(log, 1)
            assert await numbers(log) == [0, 1]

    async def test_a_writer_that_stands_still_gives_up_its_place(self, postgres: PostgresServer) -> None:
        url = f"{postgres.url}&options=-c%20idle_in_transaction_session_timeout%3D200ms"
        async with log_at(url) as stuck, log_at(postgres.url) as other:
            stuck._ledger.begin()
            assert (await append(other, 0)).seq == 1
            with pytest.raises(StoreError, match="idle-in-transaction"):
                await append(stuck, 1)
            assert (await append(stuck, 2)).seq == 2


class TestPlaces:
    async def test_several_logs_share_a_database(self, postgres: PostgresServer) -> None:
        with pytest.raises(LogDamaged, match="no log in"):
            source_of(postgres.url)
        deep = ".".join(["root", *("a" * 60 for _ in range(4))])
        async with log_at(postgres.url) as root, log_at(postgres.url, "root.east") as east, log_at(postgres.url, deep):
            await append(root, 0)
            await append(east, 1)
            assert (await numbers(root), await numbers(east)) == ([0], [1])
            assert (root.where, east.where) == ("postgresql:///ote (root)", "postgresql:///ote (root.east)")
        assert source_of(postgres.url, "root.east") == "root.east"
        assert source_of(postgres.url, deep) == deep
        with pytest.raises(StoreError, match=f"several logs, say which: root, {deep}, root.east"):
            source_of(postgres.url)
        assert verify(postgres.url, Event.decode, source="root.east") == []

    async def test_one_tier_uses_a_log_others_are_beside_it(
        self, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("store.sql.postgres.CLAIM_SECONDS", 0.0)
        async with log_at(postgres.url, sole=True), log_at(postgres.url), log_at(postgres.url, "root.b", sole=True):
            with pytest.raises(StoreError, match="another tier of root uses"):
                async with log_at(postgres.url, sole=True):
                    pass
        async with log_at(postgres.url, sole=True):
            pass

    async def test_a_database_that_is_not_there_is_told_without_the_password(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError) as told:
            async with log_at(f"postgresql://me:secret@/none?host={tmp_path}"):
                pass
        assert "none" in str(told.value) and "secret" not in str(told.value)

    async def test_a_database_that_can_not_hold_every_text_is_refused(self, postgres: PostgresServer) -> None:
        postgres.execute("DROP DATABASE IF EXISTS ascii")
        locale = "ENCODING 'SQL_ASCII' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0"
        postgres.execute(f"CREATE DATABASE ascii {locale}")
        with pytest.raises(StoreError, match="not in UTF-8"):
            async with log_at(postgres.url.replace(f"/{DATABASE}?", "/ascii?")):
                pass

    async def test_a_log_of_a_later_version_is_refused(self, postgres: PostgresServer) -> None:
        async with log_at(postgres.url):
            pass
        postgres.execute("UPDATE root.schema_version SET version = 99")
        with pytest.raises(LogDamaged, match="later version"):
            async with log_at(postgres.url):
                pass

    @pytest.mark.parametrize(("synchronous", "expected"), [("FULL", "on"), ("NORMAL", "off")])
    async def test_commits_wait_for_the_disk_as_the_tier_says(
        self, postgres: PostgresServer, synchronous: str, expected: str
    ) -> None:
        """And not as the server's default does."""
        url = f"{postgres.url}&options=-c%20synchronous_commit%3Doff"
        async with log_at(url, synchronous=synchronous) as log:
            cursor = log._ledger.session.cursor
            cursor.execute("SHOW synchronous_commit")
            assert cursor.fetchone() == (expected,)


class TestRows:
    async def test_the_number_of_a_row_that_is_gone_is_not_given_again(self, postgres: PostgresServer) -> None:
        async with log_at(postgres.url) as log:
            for n in range(3):
                await append(log, n)
        postgres.execute("DELETE FROM root.events WHERE row = 3")
        async with log_at(postgres.url) as log:
            await append(log, 3)
            assert [s.row for s in await log.read(lambda r: r.events())] == [1, 2, 4]

    async def test_every_text_is_kept(self, postgres: PostgresServer) -> None:
        texts = ["", "\0", "\1", "\0\1\2", "\1\1\0", "a\0b", "Ä\U0001f600", "\ufffe", "\0" + "a" * 200]
        async with log_at(postgres.url) as log:
            for text in texts:
                draft = Draft("ote.test.sampled.v1", "ote.evt.test-sampled.root", {"n": 0}, cause=text, actor=text)
                await log.write(lambda tx, draft=draft: tx.append(draft))
                await log.write(lambda tx, text=text: tx.append(submitted(text or "none", [])))
            for text in texts[1:]:
                found = await log.read(lambda r, text=text: r.command(text))
                assert found is not None and found.id == text
        kept = postgres.execute("SELECT count(DISTINCT actor) FROM root.events")
        assert kept == [(len(texts),)]
        assert verify(postgres.url, Event.decode) == []

    async def test_paths_sort_as_bytes_whatever_the_language(self, postgres: PostgresServer) -> None:
        paths = sorted(f"root.{name}" for name in ("a", "a-b", "a.b", "ab", "a0", "a.b-c", "b", "aa"))
        assert postgres.execute("SELECT 'a.b' < 'aa'") == [(False,)]
        async with log_at(postgres.url) as log:
            await log.write(lambda tx: tx.append(submitted("c", [(path, tx.number(path)) for path in reversed(paths)])))
            assert [row.target for row in await log.read(lambda r: r.targets("c"))] == paths
            below = await log.read(lambda r: r.mailboxes("root.a"))
            assert sorted(box.target for box in below) == ["root.a", "root.a.b", "root.a.b-c"]

    async def test_what_was_given_up_by_the_database_is_not_taken_for_done(self, postgres: PostgresServer) -> None:
        async with log_at(postgres.url) as log:

            def fails(tx: object) -> None:
                log._ledger.session.cursor.execute("SELECT 1 / 0")

            writes = [log.write(lambda tx, n=n: tx.append(sample(n))) for n in range(3)]
            refused = log.write(fails)
            writes += [log.write(lambda tx, n=n: tx.append(sample(n))) for n in range(3, 6)]
            with pytest.raises(StoreError, match="division by zero"):
                await refused
            assert [event.seq for event in await asyncio.gather(*writes)] == [1, 2, 3, 4, 5, 6]

    async def test_verify_finds_what_was_changed(self, postgres: PostgresServer) -> None:
        site = Source("root.a")
        async with log_at(postgres.url) as log:
            await log.write(lambda tx: tx.record(site.samples(3)))
        postgres.execute("UPDATE root.streams SET held = 2")
        assert {finding.kind for finding in verify(postgres.url, Event.decode)} == {"streams"}
        postgres.execute("UPDATE root.events SET subject = 'x' WHERE row = 2")
        assert [(f.kind, f.where) for f in verify(postgres.url, Event.decode)] == [("event", "row 2")]
