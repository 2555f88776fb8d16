"""What crosses a leaf link, what does not, and who may be at its ends: real servers, three hops."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from bus import subjects
from leafnodes.auth import Login
from leafnodes.config import Tuning
from tests.integration.leafnodes_kit import Tree, answer, answered, is_linked, quiet
from tests.support import NatsServer as PlainServer
from tests.support import eventually

CHAIN = ("root", "root.east", "root.east.site", "root.east.site.cam")
LOCAL = (subjects.local("submit"), subjects.shim("local", "execute"), "ote.local.x", "$SRV.PING", "$SRV.INFO.a.b")
CONTROL = "ote.evt.control"


@pytest.fixture
async def tree(tmp_path: Path, nats_servers: Callable[..., PlainServer]) -> AsyncIterator[Tree]:
    """Closed before the plain servers are, for clients of the tree may be connected to those."""
    async with Tree(tmp_path) as tree:
        yield tree


async def listen(client: Client, heard: list[str], *wanted: str) -> None:
    async def note(message: Msg) -> None:
        heard.append(message.subject)

    for subject in wanted:
        await client.subscribe(subject, cb=note)
    await client.flush()
    await client.flush()


async def publish(client: Client, *wanted: str) -> None:
    for subject in wanted:
        await client.publish(subject, b"")
    await client.flush()


async def heard_by(listener: list[str], speaker: Client, control: str) -> None:
    """Returns when what the speaker says on `control` reaches the listener; what it said before on the
    same way has then arrived too, if it ever does."""

    async def say() -> bool:
        await publish(speaker, control)
        return control in listener

    await eventually(say, what=control)


async def logged(server: PlainServer, text: str) -> None:
    await eventually(lambda: text in server.log.read_text(), what=text)


async def turned_away(url: str, **login: str) -> None:
    """Fails if a client gets in with this login."""
    client = Client()
    with pytest.raises(nats.errors.Error, match=r"(?i)authorization"):
        await client.connect(
            url, allow_reconnect=False, error_cb=quiet, user=login.get("user"), password=login.get("password")
        )
    await client.close()


async def test_a_request_crosses_three_hops_in_both_directions(tree: Tree) -> None:
    clients = [await tree.client(server) for server in await tree.chain(*CHAIN)]
    await answer(clients[-1], "ote.cmd.root.east.site.cam", "from the leaf")
    await answer(clients[0], "ote.sync.0.root.east.site.cam", "from the root")
    assert await answered(clients[0], "ote.cmd.root.east.site.cam") == b"from the leaf"
    assert await answered(clients[-1], "ote.sync.0.root.east.site.cam") == b"from the root"
    with pytest.raises(nats.errors.NoRespondersError):
        await clients[0].request("ote.cmd.root.east.site.nobody", b"", timeout=30)


async def test_local_subjects_cross_no_hop_in_either_direction(tree: Tree) -> None:
    servers = await tree.chain(*CHAIN)
    heard: list[list[str]] = [[] for _ in servers]
    for server, ears in zip(servers, heard, strict=True):
        await listen(await tree.client(server), ears, ">", "ote.>", "ote.local.>", "$SRV.>", *LOCAL)
    for index, server in enumerate(servers):
        speaker = await tree.client(server)
        for ears in heard:
            await heard_by(ears, speaker, f"{CONTROL}.before.{index}")
        await publish(speaker, *LOCAL)
        for ears in heard:
            await heard_by(ears, speaker, f"{CONTROL}.after.{index}")
    for index, ears in enumerate(heard):
        # What a server tells of its own connections is for its own tier.
        own = (CONTROL, "ote.local.server.")
        assert {subject for subject in ears if not subject.startswith(own)} == set(LOCAL)
        # Each once for ">" and its own name, and again for each wildcard that holds it: from here, none from afar.
        assert ears.count("$SRV.PING") == 3, f"{CHAIN[index]} heard a $SRV.PING of another tier"
        assert ears.count("ote.local.x") == 4, f"{CHAIN[index]} heard an ote.local.x of another tier"


async def test_a_local_service_is_not_there_for_neighbours(tree: Tree) -> None:
    top, middle, bottom = [await tree.client(server) for server in await tree.chain(*CHAIN[:3])]
    for subject in LOCAL:
        await answer(middle, subject, "me")
    await answer(middle, "ote.ask.root.east", "me")
    for neighbour in (top, bottom):
        assert await answered(neighbour, "ote.ask.root.east") == b"me"
        for subject in LOCAL:
            with pytest.raises(nats.errors.NoRespondersError):
                await neighbour.request(subject, b"", timeout=30)
    for subject in LOCAL:
        assert (await middle.request(subject, b"", timeout=30)).data == b"me"


async def holds_the_border(above: Client, below: Client) -> None:
    """Fails if a local subject crosses between the two in either direction."""
    ears: dict[Client, list[str]] = {above: [], below: []}
    for client, heard in ears.items():
        await listen(client, heard, ">", "ote.local.>", "$SRV.>", *LOCAL)
    for speaker, listener in ((above, ears[below]), (below, ears[above])):
        await heard_by(listener, speaker, f"{CONTROL}.before")
        listener.clear()
        await publish(speaker, *LOCAL)
        await heard_by(listener, speaker, f"{CONTROL}.after")
        assert not set(LOCAL) & set(listener)
        listener.clear()


async def test_the_hub_holds_the_border_against_a_child_that_does_not(
    tree: Tree, nats_servers: Callable[..., PlainServer]
) -> None:
    hub = await tree.grow("root")
    rogue = nats_servers(f'leafnodes {{ remotes: [ {{ urls: ["{hub.leaf_url}"] }} ] }}')
    await holds_the_border(await tree.client(hub), await tree.client(rogue.url))


async def test_the_child_holds_the_border_against_a_hub_that_does_not(
    tree: Tree, nats_servers: Callable[..., PlainServer]
) -> None:
    hub = nats_servers("leafnodes { listen: 127.0.0.1:{leaf_port} }")
    child = await tree.grow("root.east", hub.leaf_url)
    await holds_the_border(await tree.client(hub.url), await tree.client(child))


async def test_siblings_do_not_see_each_others_interest(tree: Tree) -> None:
    root = await tree.grow("root")
    one, two = await tree.grow("root.one", root), await tree.grow("root.two", root)
    top, first, second = [await tree.client(server) for server in (root, one, two)]
    await answer(first, "ote.cmd.root.one", "one")
    await answer(second, "ote.cmd.root.two", "two")
    assert await answered(top, "ote.cmd.root.one") == b"one"
    assert await answered(top, "ote.cmd.root.two") == b"two"
    with pytest.raises(nats.errors.NoRespondersError):
        await first.request("ote.cmd.root.two", b"", timeout=30)
    with pytest.raises(nats.errors.NoRespondersError):
        await second.request("ote.cmd.root.one", b"", timeout=30)


async def test_two_servers_of_one_path_both_stay_connected(tree: Tree) -> None:
    root = await tree.grow("root")
    twins = [await tree.grow("root.east", root) for _ in range(2)]
    top = await tree.client(root)
    for number, twin in enumerate(twins):
        await answer(await tree.client(twin), f"twin.{number}", "here")
    for _ in range(10):
        for number in range(2):
            assert await answered(top, f"twin.{number}") == b"here"
    links = await root.leafz()
    assert {link.name for link in links} == {twin.server_name for twin in twins}
    assert [link.path for link in links] == ["root.east", "root.east"]
    assert all([await is_linked(twin, root) for twin in twins])


async def test_links_are_counted_and_timed(tree: Tree) -> None:
    root = await tree.grow("root")
    site = await tree.grow("root.site", root)
    await answer(await tree.client(site), "echo", "hello")
    assert await answered(await tree.client(root), "echo") == b"hello"

    async def measured() -> bool:
        (link,) = await root.leafz()
        return 0 < link.rtt < 5 and link.out_msgs >= 1 and link.in_msgs >= 1 and link.in_bytes >= len(b"hello")

    await eventually(measured)
    (up,) = await site.leafz()
    assert up.to_parent and up.path == "root" and up.ip == "127.0.0.1" and up.compression == "off"
    assert (await root.varz()).leafnodes == 1


async def test_a_long_link_is_compressed_where_the_child_asks(tree: Tree) -> None:
    root = await tree.grow("root")
    far = await tree.grow("root.far", root, tuning=Tuning(compression="s2_auto"))
    near = await tree.grow("root.near", root)
    compressed = {link.name: link.compression != "off" for link in await root.leafz()}
    assert compressed == {far.server_name: True, near.server_name: False}


async def test_nobody_links_without_the_childrens_login(tree: Tree, nats_servers: Callable[..., PlainServer]) -> None:
    hub = await tree.grow("root")
    port = hub.leaf_url.rpartition(":")[2] if hub.leaf_url else ""
    for login in ("", "local@", "child:wrong@"):
        intruder = nats_servers(f'leafnodes {{ remotes: [ {{ urls: ["nats-leaf://{login}127.0.0.1:{port}"] }} ] }}')
        await logged(intruder, "Authorization Violation")
        assert await hub.leafz() == []


async def test_the_childrens_login_is_none_for_clients(tree: Tree) -> None:
    hub = await tree.grow("root", children=Login("kid", "p@ss:w/rd"))
    site = await tree.grow("root.site", hub)
    assert await is_linked(site, hub)
    await turned_away(hub.client_url, user="kid", password="p@ss:w/rd")


async def test_clients_from_outside_need_their_login(tree: Tree) -> None:
    server = await tree.grow("root", host="0.0.0.0", clients=Login("me", "s3cret"), advertise="hub.example.com")
    assert server.leaf_url is not None and "@hub.example.com:" in server.leaf_url
    client = await tree.client(server)
    await answer(client, "hello", "you")
    assert await answered(client, "hello") == b"you"
    await turned_away(server.client_url.replace("me:s3cret@", ""))
