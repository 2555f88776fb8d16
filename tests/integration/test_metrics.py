"""`/metrics` of real tiers: what it says, how it is served, and that it does no harm."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import signal
import socket
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families

from leafnodes.ports import free_port
from services.controller import metrics
from tests.integration.lab_kit import ote
from tests.integration.prometheus_kit import promtool
from tests.integration.tiers import Tier, Tiers, crowd
from tests.support import eventually

Head = dict[str, str]


async def fetch(tier: Tier, path: str = "/metrics", method: str = "GET", **headers: str) -> tuple[int, Head, bytes]:
    """(status, headers, body), as any HTTP client sees it."""
    url = urlsplit(tier.info["metrics"])
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    lines = [f"{method} {path} HTTP/1.1", "Host: x", *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items())]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    first, *rest = head.decode().split("\r\n")
    return int(first.split()[1]), {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in rest)}, body


class Page:
    """The samples of one scrape."""

    def __init__(self, text: str) -> None:
        self._samples = {
            (sample.name, *sorted(f"{k}={v}" for k, v in sample.labels.items() if k != "tier")): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
        self.tiers = {
            sample.labels.get("tier")
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if family.name.startswith("ote_")
        }

    def __call__(self, name: str, *labels: str) -> float:
        return self._samples[(f"ote_{name}", *sorted(labels))]

    def has(self, name: str, *labels: str) -> bool:
        return (f"ote_{name}", *sorted(labels)) in self._samples


async def scrape(tier: Tier) -> Page:
    status, _, body = await fetch(tier)
    assert status == 200
    return Page(body.decode())


async def test_it_tells_what_waits_what_is_away_and_what_repair_has_carried(tiers: Tiers) -> None:
    root = await tiers.grow("root", shims=())
    east = await tiers.grow("root.east", root, shims=())
    site = await tiers.grow("root.east.site1", east)
    await root.submit("root.east.site1", "first", wait=30)

    async def settled() -> Page:
        page, below = await scrape(root), await scrape(site)
        assert page.tiers == {"root"} and below.tiers == {"root.east.site1"}
        assert page("command_targets", "state=succeeded") == 1 and page("command_targets", "state=in-doubt") == 0
        assert page("clusters", "state=online") == 3
        assert page("link_up", "relation=child", "peer=root.east") == 1
        assert page("log_commit_duration_seconds_count") > 0
        assert page("log_events") == page("log_appended_events_total") > 3
        assert page("log_bytes") > 1000 and page("log_up") == 1
        assert below("link_up", "relation=parent", "peer=root.east") == 1
        assert below("link_up", "relation=ancestor", "peer=root") == 1
        assert below("link_connects_total", "relation=parent", "peer=root.east") >= 1
        return page

    page = await eventually(settled)
    await east.link.cut()
    await root.sees("root.east", "offline")
    await root.submit("root.east.site1", "second")
    local = await east.submit("root.east.site1", "third", wait=30)

    async def cut_off() -> bool:
        page = await scrape(root)
        assert page("link_up", "relation=child", "peer=root.east") == 0
        assert page("clusters", "state=offline") == 2
        assert page("child_lag_events", "child=root.east", "direction=down") == 1
        assert page("child_lag_seconds", "child=root.east") == page("undelivered_age_seconds") > 0
        assert page("command_targets", "state=accepted") == 1
        assert (await scrape(east))("link_up", "relation=parent", "peer=root") == 0
        return True

    await eventually(cut_off)
    await east.link.heal()
    await root.sees("root.east.site1", "online")

    async def caught_up() -> bool:
        above, below = await scrape(root), await scrape(east)
        assert above("command_targets", "state=succeeded") == 3, local
        assert above("undelivered_age_seconds") == above("child_lag_seconds", "child=root.east") == 0
        assert above("child_lag_events", "child=root.east", "direction=up") == 0
        assert below("link_connects_total", "relation=parent", "peer=root") >= 2
        for direction, giver, taker in (("down", above, below), ("up", below, above)):
            for what in ("pages", "events"):
                assert giver(f"repair_{what}_total", f"direction={direction}", "action=shipped") > 0
                assert taker(f"repair_{what}_total", f"direction={direction}", "action=taken") > 0
        return True

    await eventually(caught_up)
    assert (await scrape(root))("log_appended_events_total") > page("log_appended_events_total")


async def test_a_lost_server_counts_as_a_reconnect(tiers: Tiers) -> None:
    root = await tiers.spawn("root", shims=())
    assert (await scrape(root))("bus_reconnects_total") == 0
    os.kill(root.info["server_pid"], signal.SIGKILL)

    async def back() -> bool:
        return (await scrape(root))("bus_reconnects_total") >= 1

    await eventually(back)


async def test_names_and_words_are_as_prometheus_wants_them(tiers: Tiers) -> None:
    root = await tiers.grow("root", shims=())
    await tiers.grow("root.site1", root)
    _, _, body = await fetch(root)
    assert await promtool("check", "metrics", stdin=body) == ("", 0)


async def test_formats_and_refusals(tiers: Tiers) -> None:
    root = await tiers.grow("root", shims=())
    status, head, body = await fetch(root, Accept_Encoding="gzip, deflate")
    assert (status, head["content-encoding"]) == (200, "gzip")
    assert b"ote_tier_info{" in gzip.decompress(body)
    status, head, body = await fetch(root, Accept="application/openmetrics-text; version=1.0.0")
    assert head["content-type"].startswith("application/openmetrics-text")
    assert "ote_log_commit_duration_seconds" in {family.name for family in open_families(body.decode())}
    status, head, body = await fetch(root, "/metrics?x=1")
    assert (status, int(head["content-length"])) == (200, len(body))
    status, head, body = await fetch(root, method="HEAD")
    assert (status, body) == (200, b"") and int(head["content-length"]) > 1000
    assert (await fetch(root, "/"))[0::2] == (404, b"metrics are at /metrics\n")
    assert (await fetch(root, method="POST"))[0::2] == (405, b"only GET /metrics\n")


async def test_who_talks_nonsense_or_says_nothing_holds_up_nobody(tiers: Tiers) -> None:
    root = await tiers.grow("root", shims=())
    url = urlsplit(root.info["metrics"])
    with socket.create_connection((url.hostname, url.port)) as silent:
        for nonsense in (b"\0\xff\r\n\r\n", b"\r\n\r\n", b"GET\r\n\r\n", b"x" * 100_000):
            reader, writer = await asyncio.open_connection(url.hostname, url.port)
            writer.write(nonsense)
            with suppress(ConnectionError):
                assert (await reader.read(12)) in (b"HTTP/1.1 405", b"HTTP/1.1 404", b"")
            writer.close()
        pages = await asyncio.gather(*(scrape(root) for _ in range(20)))
        assert {page("log_up") for page in pages} == {1}
        await root.stop()
        assert await asyncio.to_thread(silent.recv, 1) == b""


async def test_the_address_is_told_and_kept(tiers: Tiers) -> None:
    root = await tiers.grow("root", shims=())
    url = root.info["metrics"]
    assert (await root.ask("status"))["metrics"] == url
    file = root.state / "metrics.json"
    assert json.loads(file.read_text()) == [{"targets": [urlsplit(url).netloc], "labels": {"tier": "root"}}]
    await root.stop()
    await root.start()
    assert root.info["metrics"] == url
    await root.stop()
    with socket.create_server(("127.0.0.1", urlsplit(url).port or 0)):
        await root.start()
        assert root.info["metrics"] != url
        await scrape(root)
    await root.stop()
    file.write_text("[]")
    await root.start()
    assert (await scrape(root))("log_up") == 1
    await root.stop()
    # Without metrics, Prometheus is not sent to a port that may be somebody else's.
    await tiers.grow("root", shims=(), state=root.state, metrics=False)
    assert not file.exists()


async def test_a_port_of_ones_own_and_none_at_all(tiers: Tiers) -> None:
    port = free_port()
    root = await tiers.grow("root", shims=(), metrics_port=port)
    assert root.info["metrics"] == f"http://127.0.0.1:{port}/metrics"
    quiet = await tiers.grow("quiet", shims=(), metrics=False)
    assert quiet.info["metrics"] is None and (await quiet.ask("status"))["metrics"] is None
    assert not (quiet.state / "metrics.json").exists()


async def test_a_port_that_is_taken_is_a_clear_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        words = ["tier", "--path", "root", "--state", str(tmp_path), "--metrics-port", str(port), "--no-shims"]
        process = await ote(*words)
        said = (await process.communicate())[1].decode()
    assert process.returncode == 4
    assert f"no metrics at 127.0.0.1:{port}" in said and "--metrics-port 0" in said and "Traceback" not in said


async def test_of_many_children_the_worst_are_told_one_by_one(tiers: Tiers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "MOST_CHILDREN", 10)
    root = await tiers.grow("root", shims=())
    heard = await tiers.grow("root.heard", root)
    made = await crowd(root, 30)
    await root.submit(f"{made[20]} or {made[29]}", "wait")
    page = await scrape(root)
    told = {path for path in (*made, heard.path) if page.has("child_lag_events", f"child={path}", "direction=down")}
    assert told == {made[20], made[29], *made[:8]}
    assert page("child_lag_events", f"child={made[29]}", "direction=down") == 1
    assert page("clusters", "state=online") == 2 and page("clusters", "state=unknown") == 30


async def test_a_log_that_can_not_be_read_hides_nothing_else(tiers: Tiers) -> None:
    root = await tiers.grow("root", shims=())
    site = await tiers.grow("root.site1", root)
    gather = root.controller.metrics.gather
    await site.stop()
    await root.stop()
    families = {family.name: family.samples for family in await gather()}
    assert [sample.value for sample in families["ote_log_up"]] == [0]
    assert families["ote_link_up"] and families["ote_disk_free_bytes"] and "ote_log_events" not in families
