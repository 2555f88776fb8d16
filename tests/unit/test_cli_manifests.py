from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from bus.errors import BadRequest
from services.cli.manifests import parse, read_manifests

TWO = """
apiVersion: v1
kind: ConfigMap
metadata: {name: one}
---
# nothing here
---
apiVersion: v1
kind: ConfigMap
metadata: {name: two}
"""


def names(manifests: list[dict[str, object]]) -> list[str]:
    return [manifest["metadata"]["name"] for manifest in manifests]  # type: ignore[index]


def test_documents_in_order_and_empty_ones_skipped() -> None:
    assert names(parse(TWO, "a.yaml")) == ["one", "two"]


def test_a_directory_in_order_of_name_and_not_deeper(tmp_path: Path) -> None:
    (tmp_path / "b.yml").write_text("{apiVersion: v1, kind: Secret, metadata: {name: b}}")
    (tmp_path / "a.json").write_text('{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}}')
    (tmp_path / "c.yaml").write_text("{apiVersion: v1, kind: Secret, metadata: {name: c}}")
    (tmp_path / "README.md").write_text("# no manifest")
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "d.yaml").write_text("{apiVersion: v1, kind: Secret, metadata: {name: d}}")
    assert names(read_manifests([str(tmp_path)])) == ["a", "b", "c"]


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(TWO))
    assert names(read_manifests(["-"])) == ["one", "two"]


def test_lists_are_flattened() -> None:
    text = """
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: one}}
- apiVersion: v1
  kind: ConfigMapList
  items: [{apiVersion: v1, kind: ConfigMap, metadata: {name: two}}]
"""
    assert names(parse(text, "list.yaml")) == ["one", "two"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1", "x.yaml, document 1, line 1: "),
        ("apiVersion: v1\nkind: A\nmetadata: {name: a}\n---\na: b: c\n", "x.yaml, document 2, line 5: mapping values"),
        ("just text", r"x.yaml, document 1 \(line 1\): an object was expected, not text"),
        ("- a", "an object was expected, not a list"),
        ("\n\nkind: A\nmetadata: {name: a}", r"x.yaml, document 1 \(line 3\): apiVersion is missing"),
        ("apiVersion: v1\nmetadata: {name: a}", "kind is missing"),
        ("apiVersion: v1\nkind: 7\nmetadata: {name: a}", "kind is missing or no text"),
        ("apiVersion: v1\nkind: A", "A has no metadata.name"),
        ("apiVersion: v1\nkind: A\nmetadata: {name: 5}", "A has no metadata.name"),
        ("apiVersion: v1\nkind: AList\nitems: {}", "items of a AList is no list"),
        ("apiVersion: v1\nkind: List\nitems: [7]", r"items\[0\]: an object was expected, not a number"),
        ("{apiVersion: v1, kind: A, metadata: {name: a}, when: 2026-01-01}", "is read as a date"),
        ("{apiVersion: v1, kind: A, metadata: {name: a}, when: 2026-13-01}", "month must be in 1..12"),
        ("{apiVersion: v1, kind: A, metadata: {name: a}, n: .inf}", "is read as a number"),
        ("{apiVersion: v1, kind: A, metadata: {name: a}, data: {1: x}}", "the key 1 is no text"),
        ("{apiVersion: v1, kind: A, metadata: {name: a}, self: &s [*s]}", "contains itself"),
        ("!!python/object:os.system {}", "could not determine a constructor"),
        ("a: b\nc: \x00", "x.yaml, line 2: the character"),
    ],
)
def test_errors_name_file_document_and_line(text: str, said: str) -> None:
    with pytest.raises(BadRequest, match=said) as caught:
        parse(text, "x.yaml")
    assert caught.value.field == "-f"


def test_sources_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"kind: \xe4")
    (tmp_path / "empty.yaml").write_text("---\n---\n")
    (tmp_path / "locked").mkdir()
    for source, said in [
        (tmp_path / "none.yaml", "does not exist"),
        (tmp_path / "latin.yaml", "not UTF-8"),
        (tmp_path / "empty.yaml", "no manifest in"),
        (tmp_path / "locked", "no manifest in"),
    ]:
        with pytest.raises(BadRequest, match=re.escape(str(source)) + f"|{said}"):
            read_manifests([str(source)])
