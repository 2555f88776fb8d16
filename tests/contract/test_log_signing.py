"""A log that was given a signer signs what it says to others, in every store."""

from __future__ import annotations

import pytest

from bus import signing
from bus.event import Event
from bus.signing import Signer, public_key
from store.api import Log
from tests.unit.store.samples import Source, sample


async def test_shared_events_are_signed_and_local_ones_are_not(signed_log: Log[Event], signer: Signer) -> None:
    shared, local = await signed_log.write(lambda tx: [tx.append(sample(1)), tx.append(sample(2, shared=False))])
    assert signing.verify(shared.body, public_key(signer.public))
    assert not signing.is_signed(local.body)
    found = await signed_log.read(lambda reader: reader.event(shared.id))
    assert found == shared and found.checksum == shared.checksum


async def test_what_others_said_stays_as_they_said_it(signed_log: Log[Event]) -> None:
    event = Source("root.east.a").samples(1)[0]
    await signed_log.write(lambda tx: tx.record([event]))
    assert await signed_log.read(lambda reader: reader.event(event.id)) == event


async def test_a_later_life_is_signed_too(signed_log: Log[Event], signer: Signer) -> None:
    def op(tx):  # type: ignore[no-untyped-def]
        tx.begin_life("")
        return tx.append(sample(1))

    assert signing.verify((await signed_log.write(op)).body, public_key(signer.public))


async def test_what_is_not_believed_is_put_aside_once_and_accepted_when_it_is(log: Log[Event]) -> None:
    one, other = Source("root.east.a").samples(2)
    assert await log.write(lambda tx: tx.quarantine([one, one, other])) == [one, other]
    assert await log.write(lambda tx: tx.quarantine([one])) == []
    assert await log.read(lambda reader: reader.events()) == []
    assert (await log.write(lambda tx: tx.record([one]))).new == [one]


async def test_a_write_that_fails_puts_nothing_aside(log: Log[Event]) -> None:
    one = Source("root.east.a").samples(1)[0]

    def op(tx):  # type: ignore[no-untyped-def]
        tx.quarantine([one])
        raise LookupError("no")

    with pytest.raises(LookupError):
        await log.write(op)
    assert await log.write(lambda tx: tx.quarantine([one])) == [one]
