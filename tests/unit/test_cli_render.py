from __future__ import annotations

from rich.text import Text

from services.cli.render import brief, count_of, counts, safe, several, size, styled, table, tree


def test_a_table_is_as_wide_as_its_cells() -> None:
    drawn = table(["PATH", "STATE"], [["root", styled("online")], ["root.east.site1", "offline"]])
    assert drawn.plain.splitlines() == [
        "PATH              STATE",
        "root              online",
        "root.east.site1   offline",
    ]


def test_wide_characters_keep_columns_straight() -> None:
    drawn = table(["A", "B"], [["日本", "x"], ["abcd", "y"]])
    assert drawn.plain.splitlines() == ["A      B", "日本   x", "abcd   y"]


def test_a_table_without_rows_is_its_titles() -> None:
    assert table(["PATH", "STATE"], []).plain == "PATH   STATE"


def test_cells_cannot_steer_the_terminal() -> None:
    assert safe("a\x1b[2Jb\nc\u202ed") == "a\\x1b[2Jb\\nc\\u202ed"
    assert "\x1b" not in table(["A"], [["\x1b]0;title\x07"]]).plain
    assert styled("on\x1bline").plain == "on\\x1bline"


def test_a_tree_by_path() -> None:
    drawn = tree(
        {
            "root": "",
            "root.west": Text("offline", style="red"),
            "root.east.site2": "",
            "root.east": "",
            "root.east.site1": "lag 3",
            "root.east.site1.cell": "",
        }
    )
    assert drawn.plain.splitlines() == [
        "root",
        "├─ east",
        "│  ├─ site1  lag 3",
        "│  │  └─ cell",
        "│  └─ site2",
        "└─ west  offline",
    ]


def test_a_tree_with_holes_and_several_tops() -> None:
    drawn = tree({"root.east": "", "root.east.a.b": "", "root.west.site5": ""})
    assert drawn.plain.splitlines() == ["root.east", "└─ a", "   └─ b", "root.west.site5"]


def test_an_empty_tree() -> None:
    assert tree({}).plain == ""


def test_counts_most_frequent_first() -> None:
    assert counts({"received": 1, "succeeded": 3, "failed": 0, "accepted": 1}) == "3 succeeded, 1 accepted, 1 received"
    assert counts({}) == "-"


def test_sizes() -> None:
    assert [size(n) for n in (0, 999, 1000, 3_400, 340_000, 1_234_567, 5e9, 7e12)] == [
        "0 B",
        "999 B",
        "1.0 KB",
        "3.4 KB",
        "340 KB",
        "1.2 MB",
        "5.0 GB",
        "7.0 TB",
    ]


def test_words() -> None:
    assert several(["a", "b"]) == "a, b"
    assert several(list("abcd"), most=2) == "a, b and 2 more"
    assert count_of(1, "cluster") == "1 cluster"
    assert count_of(12000, "cluster") == "12,000 clusters"


def test_brief_values_stay_on_one_line() -> None:
    assert brief({"a": 1, "b": {"c": [1, {"d": 2}]}}) == "a=1 b={c=[1, {d=2}]}"
    assert brief(["x", "y"]) == "x, y"
    assert brief(None) == ""
    assert brief("line\nbreak") == "line\\nbreak"
    assert len(brief("x" * 100, width=20)) == 20
