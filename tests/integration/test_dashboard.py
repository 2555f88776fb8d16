"""The dashboard in deploy/grafana/, against a real Prometheus that scrapes a real tree as the docs say."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.prometheus_kit import Prometheus
from tests.integration.tiers import Tier, Tiers
from tests.support import eventually

ROOT = Path(__file__).parents[2]
FILE = ROOT / "deploy" / "grafana" / "ote-bus.json"
PAGE = ROOT / "docs" / "operations.md"
#: What Grafana puts in, for one scrape a second.
INTERVAL, RATE = "1s", "5s"


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FILE.read_text())
    return found


def expressions() -> dict[str, str]:
    """The queries of all panels by `title A`, variables filled in with "all"."""
    filled = {}
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            text = target["expr"].replace("$__rate_interval", RATE)
            for variable in dashboard()["templating"]["list"]:
                text = text.replace(f"${variable['name']}", variable.get("allValue", ""))
            filled[f"{panel['title']} {target['refId']}"] = text
    return filled


def documented(tiers: Iterable[Tier]) -> dict[str, Any]:
    """The configuration on the page, for these tiers."""
    (text,) = re.findall(r"^```yaml\n(scrape_configs:.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    config: dict[str, Any] = yaml.safe_load(text)
    (found,) = config["scrape_configs"][0]["file_sd_configs"]
    assert found["files"] == ["/var/lib/ote/metrics.json"]
    found["files"] = [str(tier.state / "metrics.json") for tier in tiers]
    return config | {"global": {"scrape_interval": INTERVAL, "scrape_timeout": INTERVAL}}


def alerts() -> list[str]:
    """What the page calls worth one."""
    found = re.findall(r"^\| `((?:up|ote_)[^`]*)` \|", PAGE.read_text(), re.MULTILINE)
    assert len(found) > 3
    return found


def test_it_is_what_grafana_loads() -> None:
    found = dashboard()
    panels = found["panels"]
    assert [panel["id"] for panel in panels] == list(range(1, len(panels) + 1))
    assert len({panel["title"] for panel in panels}) == len(panels)
    names = [variable["name"] for variable in found["templating"]["list"]]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        assert panel["title"] and panel["description"].endswith("."), panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24 and not cells & taken, panel["title"]
        taken |= cells
        for target in panel["targets"]:
            used = set(re.findall(r"\$(\w+)", target["expr"])) - {"__rate_interval"}
            assert used <= set(names), target["expr"]


def test_no_query_holds_what_was_not_filled_in() -> None:
    assert not [text for text in expressions().values() if "$" in text]


@pytest.mark.timeout(180)
async def test_every_query_returns_data_and_alerts_tell_good_from_bad(tiers: Tiers, tmp_path: Path) -> None:
    async with AsyncExitStack() as opened:
        root = await tiers.grow("root", shims=())
        east = await tiers.grow("root.east", root, shims=())
        await tiers.grow("root.east.site1", east)
        lost = await tiers.grow("root.east.site2", east)
        everyone = ["root", "root.east", "root.east.site1", "root.east.site2"]
        p = await opened.enter_async_context(Prometheus(tmp_path / "p", documented(tiers[path] for path in everyone)))

        async def quiet() -> bool:
            assert await p.label_values("ote_tier_info", "tier") == everyone
            for alert in alerts():
                assert await p.query(re.split(r" [<>=]", alert)[0]), f"{alert} looks at nothing"
                # How full this machine's disk is, is its own affair.
                assert alert.startswith("ote_disk") or not await p.query(alert), f"{alert} without a reason"
            return True

        await eventually(quiet, 60, what="all is well, as Prometheus sees it")
        await lost.link.cut()
        await root.sees("root.east.site2", "offline")
        await root.submit("root.east.site2", "waits")
        queries = expressions()

        async def all_answer() -> bool:
            # A quiet tier commits nothing, and has no latency to show.
            await root.submit("root.east.site1", "busy", wait=30)
            empty = [name for name, text in queries.items() if not await p.query(text)]
            assert not empty, empty
            down = {(labels["tier"], labels["peer"]) for labels, _ in await p.query(queries["Links that are down A"])}
            assert {("root.east", "root.east.site2"), ("root.east.site2", "root.east")} <= down
            assert [value for _, value in await p.query(queries["Clusters offline A"])] == [1.0]
            assert [value for _, value in await p.query(queries["Undelivered A"])] == [1.0]
            return True

        await eventually(all_answer, 60, what="every panel shows something")
        assert await p.query("ote_link_up == 0")
        for variable in dashboard()["templating"]["list"][1:]:
            asked = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"])
            assert asked is not None
            assert await p.label_values(asked[1], asked[2]) == {"job": ["ote"], "tier": everyone}[variable["name"]]
        for labels, _ in await p.query("up"):
            assert labels["tier"] in everyone and "exported_tier" not in labels
