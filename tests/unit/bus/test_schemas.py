from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from bus import messages, schemas
from bus.contracts import Answer, Request

CHANGED = "the contract has changed: if that is meant, run `python -m bus.schemas` and commit docs/schemas"


@pytest.mark.parametrize("name", sorted(schemas.PUBLIC))
def test_committed_schemas_are_those_of_the_messages(name: str) -> None:
    assert (schemas.DIRECTORY / f"{name}.json").read_text(encoding="utf-8") == schemas.render(name), CHANGED


def test_there_are_no_others() -> None:
    assert {path.stem for path in schemas.DIRECTORY.glob("*.json")} == set(schemas.PUBLIC), CHANGED


def test_every_public_message_is_listed() -> None:
    whole = {
        model
        for model in vars(messages).values()
        if isinstance(model, type) and issubclass(model, (Request, Answer)) and model not in (Request, Answer)
    }
    named = {name for name in (model.__name__ for model in whole) if name.endswith(("Request", "Answer"))}
    listed = {model.__name__ for model in schemas.PUBLIC.values()}
    assert named - listed == {"TargetAnswer"}


@pytest.mark.parametrize("name", sorted(schemas.PUBLIC))
def test_they_are_valid(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(schemas.render(name)))


@pytest.mark.parametrize(
    ("name", "body", "valid"),
    [
        ("submit.request", {"to": "site1", "do": {"verb": "ping"}}, True),
        ("submit.request", {"to": "site1", "do": {"verb": "ping"}, "ttl": 0}, False),
        ("submit.request", {"to": "site1", "do": {"verb": "ping"}, "tll": 1}, False),
        ("resolve.request", {"id": "x", "target": "root", "as": "done"}, True),
        ("error", {"error": {"code": "bad-request", "message": "no"}}, True),
        ("error", {}, False),
    ],
)
def test_they_tell_right_from_wrong(name: str, body: dict[str, Any], valid: bool) -> None:
    assert jsonschema.Draft202012Validator(json.loads(schemas.render(name))).is_valid(body) is valid


def test_writing_removes_what_is_no_more(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text("{}")
    schemas.write(tmp_path)
    assert {path.stem for path in tmp_path.glob("*.json")} == set(schemas.PUBLIC)
