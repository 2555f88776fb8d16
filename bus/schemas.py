"""JSON Schemas of the public messages. `python -m bus.schemas` writes them to `docs/schemas/`.

They are committed, and a test compares them: a contract changes only where a review can see it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pydantic import BaseModel

from bus import messages

DIRECTORY = Path(__file__).parent.parent / "docs" / "schemas"

PUBLIC: dict[str, type[BaseModel]] = {
    "error": messages.ErrorAnswer,
    "submit.request": messages.SubmitRequest,
    "submit.answer": messages.SubmitAnswer,
    "command.request": messages.CommandRequest,
    "command.answer": messages.CommandAnswer,
    "commands.request": messages.CommandsRequest,
    "commands.answer": messages.CommandsAnswer,
    "cancel.request": messages.CancelRequest,
    "cancel.answer": messages.CancelAnswer,
    "resolve.request": messages.ResolveRequest,
    "resolve.answer": messages.ResolveAnswer,
    "retry.request": messages.RetryRequest,
    "retry.answer": messages.RetryAnswer,
    "tag.request": messages.TagRequest,
    "ask.request": messages.AskRequest,
    "ask.answer": messages.AskAnswer,
    "clusters.request": messages.ClustersRequest,
    "clusters.answer": messages.ClustersAnswer,
    "resolve_selector.request": messages.ResolveSelectorRequest,
    "resolve_selector.answer": messages.ResolveSelectorAnswer,
    "objects.request": messages.ObjectsRequest,
    "objects.answer": messages.ObjectsAnswer,
    "why.request": messages.WhyRequest,
    "why.answer": messages.WhyAnswer,
    "undo.request": messages.UndoRequest,
    "undo.answer": messages.UndoAnswer,
    "log.request": messages.LogRequest,
    "log.answer": messages.LogAnswer,
    "status.request": messages.StatusRequest,
    "status.answer": messages.StatusAnswer,
    "links.request": messages.LinksRequest,
    "links.answer": messages.LinksAnswer,
    "join_token.request": messages.JoinTokenRequest,
    "join_token.answer": messages.JoinTokenAnswer,
    "applicants.request": messages.ApplicantsRequest,
    "applicants.answer": messages.ApplicantsAnswer,
    "rejoin.request": messages.RejoinRequest,
    "rejoin.answer": messages.RejoinAnswer,
    "shim.describe.request": messages.DescribeRequest,
    "shim.describe.answer": messages.DescribeAnswer,
    "shim.execute.request": messages.ExecuteRequest,
    "shim.execute.answer": messages.ExecuteAnswer,
    "shim.watch.request": messages.WatchRequest,
    "shim.watch.answer": messages.WatchAnswer,
    "heartbeat": messages.Heartbeat,
}


def render(name: str) -> str:
    """The text of one schema file."""
    schema = PUBLIC[name].model_json_schema()
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"urn:ote:v1:{name}"}
    return json.dumps({**head, **schema}, indent=2, ensure_ascii=False) + "\n"


def write(directory: Path) -> None:
    """Writes all schemas, and removes those of messages that are no more."""
    directory.mkdir(parents=True, exist_ok=True)
    for stale in directory.glob("*.json"):
        if stale.stem not in PUBLIC:
            stale.unlink()
    for name in PUBLIC:
        (directory / f"{name}.json").write_text(render(name), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else DIRECTORY)
