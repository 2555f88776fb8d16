"""The writing transaction of a log in an SQL database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgpack

from store.api import CommandRow, Cursor, Draft, E, Mailbox, Recorded, Stored, Stream, TargetRow
from store.paths import is_under
from store.projections.commands import COMMANDS, TARGETS, Commands
from store.projections.objects import OBJECTS, Objects
from store.projections.views import command_row, target_row
from store.sql import queries, snapshots
from store.sql.ledger import Ledger
from store.sql.projector import Progress
from store.sql.reader import SqlReader
from store.sql.records import NEIGHBOURS, PLACES, QUARANTINE, Confirmation, Place, Quarantined


class SqlTx(SqlReader[E]):
    """`store.api.Tx` of one group. What is asked most is answered from memory; any other query first
    writes what has gathered."""

    def __init__(self, ledger: Ledger[E], decode: Callable[[bytes], E]) -> None:
        super().__init__(ledger.session, ledger.source, ledger.epoch, decode)
        self._ledger = ledger
        self.appended: list[E] = []

    def settle(self) -> None:
        """Brings the projections up to this transaction."""
        self._ledger.flush()

    def _settle(self) -> None:
        self._ledger.write()

    def _follow(self) -> None:
        self._ledger.flush()

    # What reads from memory.

    def last_row(self) -> int:
        return self._ledger.last_row

    def event(self, id: str) -> E | None:
        if (fresh := self._ledger.fresh.get(id)) is not None:
            return fresh
        found = self._session.one(queries.EVENT, id)
        return self._decode(found[0]) if found else None

    def cursors(self) -> dict[str, Cursor]:
        return dict(self._ledger.cursors())

    def place(self, consumer: str) -> int:
        found = self._ledger.rows(PLACES).get(consumer)
        return found.row if found else 0

    def command(self, id: str) -> CommandRow | None:
        self._ledger.fold(Commands.name)
        found = self._ledger.rows(COMMANDS).get(id)
        return command_row(found) if found else None

    def target(self, command: str, target: str) -> TargetRow | None:
        self._ledger.flush()
        found = self._ledger.rows(TARGETS).get(command, target)
        if found is None:
            return None
        final = None if found.final_row is None else self._at(found.final_row)
        return target_row(found, self._waypoints(command), final)

    def object(self, api_version: str, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        self._ledger.fold(Objects.name)
        found = self._ledger.rows(OBJECTS).get(kind, namespace, name, api_version)
        return msgpack.unpackb(found.manifest) if found else None

    def _at(self, row: int) -> E | None:
        filed = self._ledger.filed
        if filed and row >= filed[0].row:
            return filed[row - filed[0].row].event
        found = self._session.one(queries.AT_ROW, row)
        return self._decode(found[0]) if found else None

    # What changes the log.

    def append(self, draft: Draft[E]) -> E:
        event = self._ledger.append(draft)
        self.appended.append(event)
        return event

    def record(self, events: Iterable[E]) -> Recorded[E]:
        ledger, done = self._ledger, Recorded[E]()
        batch = list(events)
        unsure = [event for event in batch if event.id not in ledger.fresh and not ledger.is_free(event)]
        known = ledger.checksums(unsure)
        taken = ledger.taken(event for event in unsure if event.id not in known)
        dropped = {event.id for event in unsure if event.id not in known and ledger.is_dropped(event)}
        for event in batch:
            if event.id in dropped:
                done.doubles += 1
                continue
            here = ledger.fresh.get(event.id)
            checksum = known.get(event.id) if here is None else here.checksum
            place = (event.source, event.epoch, event.seq)
            mine = event.source == self.source and event.epoch == self.epoch
            if checksum is None and not mine and place not in taken:
                if not ledger.file(event) and self._quarantine(event):
                    done.forks.append(event)
                done.new.append(event)
                if event.seq is not None:
                    taken.add(place)
            elif checksum == event.checksum or not self._quarantine(event):
                done.doubles += 1
            else:
                done.forks.append(event)
        return done

    def quarantine(self, events: Iterable[E]) -> list[E]:
        return [event for event in events if self._quarantine(event)]

    def _quarantine(self, event: E) -> bool:
        rows = self._ledger.rows(QUARANTINE)
        if rows.get(event.checksum):
            return False
        self._ledger.changes += 1
        rows.put(
            Quarantined(
                checksum=event.checksum,
                id=event.id,
                source=event.source,
                epoch=event.epoch,
                seq=event.seq,
                type=event.type,
                body=event.body,
                stored_at=self._ledger.stored_at,
            )
        )
        return True

    def number(self, target: str) -> int:
        return self._ledger.allot(target)

    def move_cursor(self, origin: str, cursor: Cursor) -> None:
        self._ledger.move_cursor(origin, cursor)

    def confirm(self, neighbour: str, held: Mapping[Stream, int]) -> None:
        self._ledger.changes += 1
        rows = self._ledger.rows(NEIGHBOURS)
        for (source, epoch), seq in held.items():
            rows.put(Confirmation(neighbour, source, epoch, seq))

    def move_place(self, consumer: str, row: int) -> None:
        self._ledger.changes += 1
        self._ledger.rows(PLACES).put(Place(consumer, row))

    def drop(self, events: Sequence[Stored[E]], *, through: int) -> None:
        ledger = self._ledger
        ledger.flush()
        ledger.changes += 1
        for projection in ledger.projector.projections:
            after = snapshots.told(ledger, projection)
            snapshots.take(ledger, projection, ledger.projector.batches(self._session, after, through), through)
        for row, event in events:
            ledger.unfile(row, event)
            self._session.cursor.execute(self._session.texts[queries.DELETE], (row,))
        ledger.flush()

    def skip(self, streams: Mapping[Stream, int], mailboxes: Mapping[Mailbox, int]) -> None:
        ledger = self._ledger
        ledger.flush()
        for (source, epoch), seq in streams.items():
            if is_under(source, self.source):
                ledger.skip(source, epoch, "", seq)
        for (origin, epoch, target), number in mailboxes.items():
            if is_under(target, self.source):
                ledger.skip(origin, epoch, target, number)
        ledger.flush()

    def begin_life(self, above: str) -> str:
        """Begins a life of this log that sorts after `above`, and returns its epoch. What the op
        appends after it belongs to the new life."""
        self._ledger.begin_life(above)
        self.epoch = self._ledger.epoch
        return self.epoch

    def rebuild(self, name: str, progress: Progress | None = None) -> None:
        """Drops the records of a projection and folds the whole log again."""
        self._ledger.changes += 1
        projector = self._ledger.projector
        projection = next(each for each in projector.projections if each.name == name)
        projector.rebuild(self._ledger, projection, progress)
