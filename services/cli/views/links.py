"""A tier's links: to whom it is attached, where else it could be, and who is attached to it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rich.text import Text

from services.cli.ages import since
from services.cli.render import Cell, pairs, safe, size, styled, table

Answer = Mapping[str, Any]


def links_view(answer: Answer, now: datetime) -> Text:
    """A few lines on the way up, then a list of the places and one of the links below."""
    parts = [pairs(_head(answer, now))]
    if answer["places"]:
        rows = [
            [
                place["path"],
                place["relation"],
                place["address"],
                styled(place["health"]),
                _milliseconds(place.get("took")),
            ]
            for place in answer["places"]
        ]
        parts.append(table(["COULD ATTACH TO", "WHICH IS", "AT", "HEALTH", "ANSWERS IN"], rows))
    if answer["below"]:
        parts.append(
            table(["BELOW", "IS", "ROUND TRIP", "IN", "OUT"], [_below(answer, link) for link in answer["below"]])
        )
    return Text("\n\n").join(parts)


def _head(answer: Answer, now: datetime) -> list[tuple[str, Cell]]:
    rows: list[tuple[str, Cell]] = [("tier", answer["path"])]
    if answer["parent"] is None:
        rows.append(("attached to", "nobody, this is a root"))
    else:
        rows.append(("attached to", _attached(answer)))
        rows.append(("parent", answer["parent"]))
    if (up := answer.get("up")) is not None:
        rows.append(("link", f"up for {since(up.get('since'), now)}, {up.get('reconnects', 0)} reconnects"))
        rows.append(("round trip", _milliseconds(up.get("rtt"))))
        rows.append(("traffic", f"{size(up['in_bytes'])} in, {size(up['out_bytes'])} out"))
    if answer["drained"]:
        rows.append(("maintenance", "who is attached here is sent away"))
    rows.append(("guests", f"{len(answer['guests'])} of at most {answer['most_guests']}"))
    if (relay := answer.get("relay")) is not None and relay["links"]:
        names = ", ".join(map(safe, relay["siblings"]))
        rows.append(("passes on", f"{relay['links']} of at most {relay['most']} links of siblings: {names or '?'}"))
    if answer["parent"] is not None and not answer["failover"]:
        rows.append(("failover", "no: it stays where it is"))
    return rows


def _attached(answer: Answer) -> Cell:
    at = answer["attached_to"]
    if at is None:
        return styled("nobody")
    if at == answer["parent"]:
        via = answer.get("via")
        why = safe(answer.get("why") or "it was moved")
        return Text(f"{safe(at)}, by way of {safe(via)}: {why}", style="yellow") if via else safe(at)
    return Text(f"{safe(at)}, as a guest: {safe(answer.get('why') or 'it was moved')}", style="yellow")


def _below(answer: Answer, link: Answer) -> list[Cell]:
    guests = {guest["path"] for guest in answer["guests"]}
    is_child = link["path"].rpartition(".")[0] == answer["path"]
    kind = "guest" if link["path"] in guests or not is_child else "child"
    if via := link.get("via"):
        kind = f"{kind}, by way of {via}"
    return [link["path"], kind, _milliseconds(link.get("rtt")), size(link["in_bytes"]), size(link["out_bytes"])]


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.1f} ms"
