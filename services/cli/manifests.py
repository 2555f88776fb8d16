"""Reads Kubernetes manifests from files, directories and standard input, with errors that name the place."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

import yaml
from yaml.reader import ReaderError

from bus.errors import BadRequest

Manifest = dict[str, Any]

SUFFIXES = (".yaml", ".yml", ".json")
STDIN = "-"


def read_manifests(sources: Sequence[str]) -> list[Manifest]:
    """All objects of all sources in order. A source is a file, a directory (its `*.yaml`, `*.yml` and `*.json`
    in order of name, not deeper), or `-` for standard input. Lists are flattened, empty documents skipped.

    BadRequest names file, document and line; also if there is nothing at all."""
    found = [manifest for source in sources for name, text in _texts(source) for manifest in parse(text, name)]
    if not found:
        raise BadRequest(f"no manifest in {', '.join(sources)}", field="-f", hint=f"it reads {', '.join(SUFFIXES)}")
    return found


def parse(text: str, name: str) -> list[Manifest]:
    """The objects in one text of YAML or JSON documents."""
    return [
        manifest
        for number, line, document in _documents(text, name)
        for manifest in _flatten(document, f"{name}, document {number} (line {line})")
    ]


def _texts(source: str) -> Iterator[tuple[str, str]]:
    if source == STDIN:
        yield "standard input", sys.stdin.read()
        return
    path = Path(source)
    if path.is_dir():
        for entry in sorted(path.iterdir()):
            if entry.suffix in SUFFIXES and entry.is_file():
                yield str(entry), _read(entry)
    else:
        yield source, _read(path)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        hint = "give a file, a directory, or - for standard input"
        raise BadRequest(f"{path} does not exist", field="-f", hint=hint) from None
    except UnicodeDecodeError as error:
        raise BadRequest(f"{path} is not UTF-8 text (byte {error.start})", field="-f") from None
    except OSError as error:
        raise BadRequest(f"{path} cannot be read: {error.strerror}", field="-f") from None


def _documents(text: str, name: str) -> Iterator[tuple[int, int, Any]]:
    """(number from 1, line from 1, content) of each document that is not empty."""
    try:
        loader = yaml.SafeLoader(text)
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise BadRequest(f"{name}, line {line}: the character {chr(error.character)!r}", field="-f") from None
    number = 0
    try:
        while loader.check_node():
            node = loader.get_node()
            number += 1
            document = loader.construct_document(node) if node else None
            if node and document is not None:
                yield number, node.start_mark.line + 1, document
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise BadRequest(f"{name}, document {number + 1}, line {line}: {error.problem}", field="-f") from None
    except (ValueError, RecursionError) as error:
        # YAML's own types can hold what they cannot build: `2024-13-01`, or lists nested without end.
        raise BadRequest(f"{name}, document {number}: {error}", field="-f") from None
    finally:
        loader.dispose()


def _flatten(document: Any, where: str) -> Iterator[Manifest]:
    if isinstance(document, dict) and str(document.get("kind", "")).endswith("List") and "items" in document:
        items = document["items"]
        if not isinstance(items, list):
            raise BadRequest(f"{where}: items of a {document['kind']} is no list", field="-f")
        for index, item in enumerate(items):
            yield from _flatten(item, f"{where}, items[{index}]")
    else:
        yield _checked(document, where)


def _checked(document: Any, where: str) -> Manifest:
    if not isinstance(document, dict):
        raise BadRequest(f"{where}: an object was expected, not {_a(document)}", field="-f")
    for field in ("apiVersion", "kind"):
        if not isinstance(document.get(field), str) or not document[field]:
            raise BadRequest(f"{where}: {field} is missing or no text", field="-f")
    metadata = document.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str) or not metadata["name"]:
        raise BadRequest(f"{where}: {document['kind']} has no metadata.name", field="-f")
    try:
        plain: Manifest = _plain(document, where)
    except RecursionError:
        raise BadRequest(f"{where}: contains itself, or is nested too deep", field="-f") from None
    return plain


def _plain(value: Any, where: str) -> Any:
    """The value with what JSON and Kubernetes know only: YAML reads `2024-01-01` as a date."""
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise BadRequest(f"{where}: the key {key!r} is no text", field="-f", hint=f'quote it: "{key}"')
        return {key: _plain(inner, where) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner, where) for inner in value]
    if value is None or isinstance(value, (str, int)) or (isinstance(value, float) and isfinite(value)):
        return value
    raise BadRequest(f"{where}: {value} is read as {_a(value)}", field="-f", hint=f'quote it: "{value}"')


def _a(value: Any) -> str:
    names = {"str": "text", "int": "a number", "float": "a number", "list": "a list", "NoneType": "nothing"}
    name = type(value).__name__
    return names.get(name, f"a {name}")
