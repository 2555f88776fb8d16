"""A local cluster on a log in memory, asked as the host of the shims asks it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bus.event import Event, new_id
from services.shims.base import Answer, Request
from services.shims.local import LocalShim
from store.memory.log import MemoryLog


class Cluster:
    """Without `nodes` it has none, and is as one that was not begun."""

    def __init__(self, *nodes: str) -> None:
        self.log: MemoryLog[Event] = MemoryLog("root.site1")
        self.shim = LocalShim(self.log)
        if nodes:
            self.begin(nodes)

    def begin(self, nodes: Sequence[str]) -> int:
        """Starts anew with these nodes; says how much was written."""
        self.shim = LocalShim(self.log, nodes)
        written: list[Event] = self.log.apply(lambda tx: [tx.append(draft) for draft in self.shim.begin_in(tx)])
        self.log.commit()
        return len(written)

    def answer(self, verb: str, args: Any) -> Answer:
        """What the host does: effect and answer in one transaction."""
        request = Request(new_id(), 1, verb, args)

        def op(tx: Any) -> Answer:
            answer, drafts = self.shim.execute_in(tx, request)
            for draft in drafts:
                assert not draft.shared
                tx.append(draft)
            return answer

        answer = self.log.apply(op)
        self.log.commit()
        return answer

    def do(self, verb: str, args: Any) -> Any:
        answer = self.answer(verb, args)
        assert answer.ok, answer.error
        return answer.result

    def fails(self, verb: str, args: Any) -> dict[str, str]:
        before = self.log.query(lambda reader: reader.last_row())
        answer = self.answer(verb, args)
        assert not answer.ok and answer.result is None and answer.error
        assert self.log.query(lambda reader: reader.last_row()) == before
        return answer.error.body()

    def object(self, kind: str, name: str, namespace: str = "default") -> dict[str, Any]:
        result = self.do("get", {"kind": kind, "name": name, "namespace": namespace})
        assert isinstance(result, dict)
        return result

    def all(self, kind: str, **args: Any) -> list[dict[str, Any]]:
        items = self.do("list", {"kind": kind, **args})["items"]
        assert isinstance(items, list)
        return items

    def rows(self) -> int:
        """Up to where the log is."""
        return self.log.query(lambda reader: reader.last_row())
