"""Commands: what they do, where they went, what came of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.text import Text

from services.cli.ages import since, took
from services.cli.exits import FINAL
from services.cli.render import Cell, brief, count_of, counts, pairs, safe, styled, table

Answer = Mapping[str, Any]

NONE = "-"


def command_table(rows: Sequence[Answer], now: datetime, *, wide: bool = False) -> Text:
    """One command a line."""
    titles = ["ID", "AGE", "DO", "TO", "TARGETS"] + ["ACTOR", "KEY", "EXPIRES"] * wide
    return table(titles, [_cells(row, now, wide) for row in rows])


def _cells(row: Answer, now: datetime, wide: bool) -> list[Cell]:
    cells: list[Cell] = [row["id"], since(row["submitted"], now), doing(row["do"]), row["to"], counts(row["summary"])]
    if wide:
        cells += [row.get("actor") or NONE, row.get("key") or NONE, row.get("expiresat") or NONE]
    return cells


def doing(do: Answer) -> str:
    """`apply Deployment/web and 2 more`, `scale name=web replicas=3`."""
    args = do.get("args") or {}
    verb = f"{do['shim']}:{do['verb']}" if do.get("shim") else do["verb"]
    manifests = args.get("manifests")
    about = _objects(manifests) if isinstance(manifests, list) and manifests else brief(args)
    return brief(f"{verb} {about}".rstrip())


def _objects(manifests: Sequence[Any]) -> str:
    first = manifests[0] if isinstance(manifests[0], Mapping) else {}
    metadata = first.get("metadata")
    name = metadata.get("name", "?") if isinstance(metadata, Mapping) else "?"
    named = f"{first.get('kind', '?')}/{name}"
    return f"{named} and {len(manifests) - 1} more" if len(manifests) > 1 else named


def where_to(what: str, answer: Answer, preposition: str = "at") -> Text:
    """`cancelling command ID at 2 clusters: r.a, r.b`: what is done with a command, and at which clusters."""
    paths: Sequence[str] = answer["targets"]
    more = f" and {answer['count'] - len(paths):,} more" if answer["count"] > len(paths) else ""
    where = f" {preposition} {count_of(answer['count'], 'cluster')}: {', '.join(safe(path) for path in paths)}{more}"
    return Text.assemble(f"{what} ", (safe(answer["id"]), "bold"), where if paths else " nowhere")


def one_command(answer: Answer, now: datetime, *, wide: bool = False) -> Text:
    """One command: what it is, then its targets with their receipts."""
    head: list[tuple[str, Cell]] = [("command", answer["id"]), ("do", doing(answer["do"])), ("to", answer["to"])]
    if answer.get("actor"):
        head.append(("actor", answer["actor"]))
    head.append(("submitted", f"{answer['submitted']} ({since(answer['submitted'], now)} ago)"))
    head.append(("targets", counts(answer["summary"])))
    return Text("\n\n").join([pairs(head), target_table(answer["targets"], now, wide=wide)])


def target_table(rows: Mapping[str, Answer], now: datetime, *, wide: bool = False) -> Text:
    """One target a line: its state and since when, how long delivery and execution took after the command was
    accepted, and what came of it."""
    titles = ["TARGET", "STATE", "SINCE", "DELIVERED", "EXECUTED"] + ["NUMBER", "STORED"] * wide + ["RESULT"]
    return table(titles, [_target(path, row, now, wide) for path, row in sorted(rows.items())])


def _target(path: str, row: Answer, now: datetime, wide: bool) -> list[Cell]:
    receipts = row["receipts"]
    start = receipts.get("accepted")
    cells: list[Cell] = [path, styled(row["state"]), since(last_receipt(row), now)]
    cells += [took(start, receipts.get("delivered")), took(start, receipts.get("executed"))]
    if wide:
        stored = receipts.get("stored") or {}
        on_way = " ".join(f"{tier}+{took(start, time)}" for tier, time in sorted(stored.items()))
        cells += [str(row["number"]), on_way or NONE]
    return [*cells, _outcome(row)]


def last_receipt(row: Answer) -> str | None:
    """The time of the latest step that is known of a target."""
    return max((time for time in row["receipts"].values() if isinstance(time, str)), default=None)


def _outcome(row: Answer) -> Cell:
    if error := row.get("error"):
        return Text(brief(f"{error.get('code', 'error')}: {error.get('message', '')}", 100), style="red")
    if row["state"] in FINAL and row.get("result") is not None:
        return outcome(row["result"])
    return NONE


def outcome(result: Any) -> str:
    """A result on one line: `ConfigMap/shop created`, `2 created, 1 unchanged`, `3 items`, or the result itself."""
    if isinstance(result, Mapping):
        objects, items = result.get("objects"), result.get("items")
        if isinstance(objects, list) and objects and all(isinstance(each, Mapping) for each in objects):
            return _done(objects)
        if isinstance(items, list):
            return count_of(len(items), "item")
        if "kind" in result and isinstance(result.get("metadata"), Mapping):
            return brief(_objects([result]))
    return brief(result)


def _done(objects: Sequence[Mapping[str, Any]]) -> str:
    if len(objects) == 1:
        [only] = objects
        return brief(f"{only.get('kind', '?')}/{only.get('name', '?')} {only.get('result', '')}".rstrip())
    return counts(Counter(str(each.get("result", "done")) for each in objects))
