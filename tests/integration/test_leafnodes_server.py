"""The life of one tier's server: started, killed, left behind, adopted, moved, stopped."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import select
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bus.errors import BadRequest, NotFound, Unavailable
from leafnodes.identity import Identity
from leafnodes.ports import free_port
from leafnodes.runner import PortTaken, Runner
from leafnodes.server import NatsServer
from tests.integration.leafnodes_kit import FAST, Tree, answer, answered, is_linked, linked
from tests.support import eventually

TIER = """
import asyncio, sys
from pathlib import Path
from leafnodes.server import NatsServer

async def main():
    server = NatsServer(state_dir=Path(sys.argv[1]), path="root.east", parent=sys.argv[2])
    await server.start()
    print(server.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
async def tree(tmp_path: Path) -> AsyncIterator[Tree]:
    async with Tree(tmp_path) as tree:
        yield tree


def alive(pid: int | None) -> bool:
    """False when the whole process has ended: its first thread alone may be gone while others hold its ports."""
    assert pid is not None
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        return not select.select([handle], [], [], 0)[0]
    finally:
        os.close(handle)


def kill(server: NatsServer, number: signal.Signals = signal.SIGKILL) -> None:
    assert server.pid is not None
    os.kill(server.pid, number)


async def no_children(server: NatsServer) -> bool:
    return await server.leafz() == []


async def replaced(server: NatsServer, pid: int | None) -> None:
    await eventually(lambda: server.pid != pid, what="a new server")


def refused(server: NatsServer) -> int:
    return server.log_file.read_text().count("address already in use")


async def is_gone(server: NatsServer) -> None:
    await eventually(lambda: not alive(server.pid), what="the killed server is gone")


def leave_a_server(state: Path, parent: NatsServer) -> int:
    """The pid of a server whose tier was killed in another process."""
    command = [sys.executable, "-c", TIER, str(state), str(parent.leaf_url)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": os.getcwd()}
    ) as tier:
        assert tier.stdout is not None
        pid = int(tier.stdout.readline())
        tier.kill()
    return pid


async def test_start_and_stop_leave_what_was_promised(tmp_path: Path) -> None:
    state = tmp_path / "state"
    server = NatsServer(state_dir=state, path="root")
    with pytest.raises(Unavailable, match="not been started"):
        _ = server.client_url
    async with server:
        pid = server.pid
        assert alive(pid)
        assert (state / "nats.pid").read_text().strip() == str(pid)
        assert os.getsid(pid or 0) != os.getsid(0), "Ctrl-C in a terminal reaches the server"
        private = {file.name: stat.S_IMODE(file.stat().st_mode) for file in state.iterdir()}
        assert private.items() >= {"nats.conf": 0o600, "nats.json": 0o600, "nats.log": 0o600}.items()
        info = await server.varz()
        assert (info.server_name, server.client_url) == (server.server_name, f"nats://127.0.0.1:{info.port}")
        ports = (info.port, info.leaf.port)
        await server.start()
        assert server.pid == pid
    assert not alive(pid) and server.pid is None
    assert not (state / "nats.pid").exists()
    await server.stop()
    async with NatsServer(state_dir=state, path="root") as again:
        info = await again.varz()
        assert ((info.port, info.leaf.port), info.server_name) == (ports, server.server_name)
        assert again.leaf_url == server.leaf_url


async def test_ports_that_are_given_are_used(tmp_path: Path) -> None:
    port, leaf_port = free_port(), free_port()
    async with NatsServer(state_dir=tmp_path, path="root", port=port, leaf_port=leaf_port) as server:
        assert server.client_url.endswith(f":{port}")
        assert server.leaf_url is not None and server.leaf_url.endswith(f":{leaf_port}")


async def test_a_port_that_is_taken_is_told_with_the_log(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        for option in ("port", "leaf_port", "monitor_port"):
            server = NatsServer(state_dir=tmp_path / option, path="root", **{option: port})
            with pytest.raises(PortTaken, match="address already in use") as caught:
                await server.start()
            assert str(port) in caught.value.message
            assert str(server.log_file) in str(caught.value.hint)
            assert server.pid is None


async def test_a_chosen_port_that_is_lost_is_chosen_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        ports = iter([other.getsockname()[1], free_port(), free_port(), free_port(), free_port(), free_port()])
        monkeypatch.setattr("leafnodes.identity.free_port", lambda host, avoid: next(ports))
        async with NatsServer(state_dir=tmp_path, path="root") as server:
            assert not server.client_url.endswith(f":{other.getsockname()[1]}")


async def test_a_port_that_only_the_server_itself_knows_is_no_reason_to_stay_down(tmp_path: Path) -> None:
    """Another program took it while the server was down. A port that children know must be given back."""
    async with NatsServer(state_dir=tmp_path, path="root"):
        pass
    before = Identity.load(tmp_path / "nats.json")
    assert before is not None
    with socket.create_server(("127.0.0.1", before.monitor_port)):
        server = NatsServer(state_dir=tmp_path, path="root")
        async with server:
            info = await server.varz()
            assert (info.port, info.leaf.port) == (before.client_port, before.leaf_port)
    with (
        socket.create_server(("127.0.0.1", before.leaf_port)),
        pytest.raises(PortTaken, match=f":{before.leaf_port}"),
    ):
        await NatsServer(state_dir=tmp_path, path="root").start()
    async with NatsServer(state_dir=tmp_path, path="root") as server:
        assert (await server.varz()).leaf.port == before.leaf_port


async def test_a_program_that_ends_or_hangs_is_told_and_gone(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="ended at once"):
        await NatsServer(state_dir=tmp_path / "a", path="root", binary="false").start()
    slow = tmp_path / "slow"
    slow.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\necho still thinking\nexec sleep 60\n")
    slow.chmod(0o755)
    with pytest.raises(Unavailable, match=r"not ready within 0\.5 s:\nstill thinking"):
        await NatsServer(state_dir=tmp_path / "b", path="root", binary=slow, start_timeout=0.5).start()
    assert not alive(int((tmp_path / "pid").read_text()))
    with pytest.raises(NotFound, match="no-such-program"):
        await NatsServer(state_dir=tmp_path / "c", path="root", binary="no-such-program").start()


async def test_a_cancelled_start_leaves_no_process(tmp_path: Path) -> None:
    slow = tmp_path / "slow"
    slow.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 60\n")
    slow.chmod(0o755)
    start = asyncio.create_task(NatsServer(state_dir=tmp_path / "s", path="root", binary=slow).start())
    pid = int(await eventually(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip()))
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    assert not alive(pid)


async def test_wrong_settings_are_refused_before_anything_starts(tmp_path: Path) -> None:
    state = tmp_path / "state"
    wrong: dict[str, dict[str, Any]] = {
        "path": {"path": "Root.*"},
        "parent": {"path": "root.a", "parent": "nowhere"},
        "clients": {"path": "root", "host": "0.0.0.0"},
    }
    for field, options in wrong.items():
        with pytest.raises(BadRequest) as caught:
            NatsServer(state_dir=state, **options)
        assert caught.value.field == field
    assert not state.exists()


async def test_a_server_of_others_is_left_alone(tree: Tree, tmp_path: Path) -> None:
    running = await tree.grow("root")
    external = NatsServer(state_dir=tmp_path / "none", path="root", external_url=running.client_url)
    async with external:
        assert external.client_url == running.client_url
        assert (external.pid, external.leaf_url) == (None, None)
        watch = asyncio.create_task(external.watch())
        with pytest.raises(Unavailable):
            await external.leafz()
        with pytest.raises(BadRequest):
            await external.attach(None)
        assert not watch.done()
        watch.cancel()
    assert alive(running.pid)
    assert not (tmp_path / "none").exists()


async def test_a_killed_server_comes_back_and_its_links_heal(tree: Tree) -> None:
    root, east, site = await tree.chain("root", "root.east", "root.east.site")
    watch = await tree.watch(east)
    top, bottom = await tree.client(root), await tree.client(site)
    await answer(bottom, "ote.cmd.root.east.site", "here")
    assert await answered(top, "ote.cmd.root.east.site") == b"here"
    url = east.client_url
    for _ in range(3):
        before = east.pid
        kill(east)
        await replaced(east, before)
        await linked(east, root)
        await linked(site, east)
        assert await answered(top, "ote.cmd.root.east.site") == b"here"
    assert east.client_url == url
    assert not watch.done()
    await east.stop()
    await asyncio.wait_for(watch, 30)


async def test_a_server_that_cannot_start_again_is_tried_until_it_can(tree: Tree) -> None:
    root = await tree.grow("root")
    port = (await root.varz()).port
    kill(root)
    await is_gone(root)
    with socket.create_server(("127.0.0.1", port)):
        watch = await tree.watch(root)
        await eventually(lambda: refused(root) >= 3, what="it is tried again and again")
    await eventually(lambda: alive(root.pid), what="it is up")
    assert (await root.varz()).port == port
    assert not watch.done()


async def test_the_server_of_a_killed_tier_goes_on_and_is_adopted(tree: Tree, tmp_path: Path) -> None:
    root = await tree.grow("root")
    state = tmp_path / "east"
    pid = leave_a_server(state, root)
    assert alive(pid), "the server went down with its tier"
    adopted = await tree.grow("root.east", root, state_dir=state)
    assert adopted.pid == pid
    client = await tree.client(adopted)
    await answer(client, "ote.cmd.root.east", "still here")
    assert await answered(await tree.client(root), "ote.cmd.root.east") == b"still here"

    again = NatsServer(state_dir=state, path="root.east", parent=root.leaf_url, tuning=FAST)
    await again.start()
    assert again.pid == pid
    assert client.stats["reconnects"] == 0, "adoption disturbed the clients"

    await tree.watch(adopted)
    kill(adopted)
    await replaced(adopted, pid)
    await linked(adopted, root)


async def test_an_adopted_server_gets_the_new_settings(tree: Tree, tmp_path: Path) -> None:
    first, second = await tree.grow("root"), await tree.grow("root")
    state = tmp_path / "east"
    pid = leave_a_server(state, first)
    adopted = await tree.grow("root.east", second, state_dir=state)
    assert adopted.pid == pid
    assert await no_children(first)


async def test_a_server_left_behind_that_cannot_be_adopted_is_replaced(tree: Tree, tmp_path: Path) -> None:
    root = await tree.grow("root")
    state = tmp_path / "east"
    port = free_port()
    changes: dict[str, dict[str, Any]] = {
        "it hangs": {},
        "another port is wanted": {"port": port},
        "another address is wanted": {"port": port, "host": "127.0.0.2"},
    }
    for change, options in changes.items():
        pid = leave_a_server(state, root)
        if change == "it hangs":
            os.kill(pid, signal.SIGSTOP)
        server = await tree.grow("root.east", root, state_dir=state, **options)
        assert server.pid != pid, change
        assert not alive(pid), change
        await server.stop()


async def test_a_pid_that_belongs_to_another_program_now_is_left_alone(tmp_path: Path) -> None:
    async with NatsServer(state_dir=tmp_path, path="root") as server:
        kill(server)
        await is_gone(server)
    other = await asyncio.create_subprocess_exec("sleep", "60")
    (tmp_path / "nats.pid").write_text(str(other.pid))
    async with NatsServer(state_dir=tmp_path, path="root") as server:
        assert server.pid != other.pid
        assert other.returncode is None
    other.kill()
    await other.wait()


async def test_a_reload_moves_the_link_to_another_parent_and_disturbs_nothing_else(tree: Tree) -> None:
    old, new = await tree.grow("root"), await tree.grow("root")
    east = await tree.grow("root.east", old)
    site = await tree.grow("root.east.site", east)
    client = await tree.client(site)
    await answer(client, "ote.cmd.root.east.site", "here")
    (below,) = [link.id for link in await east.leafz() if not link.to_parent]
    pid = east.pid

    await east.attach(new.leaf_url)
    await linked(east, new)
    assert not await is_linked(east, old)
    assert await answered(await tree.client(new), "ote.cmd.root.east.site") == b"here"

    await east.attach(None)
    await eventually(lambda: no_children(new), what="the link is given up")

    await east.attach([f"nats-leaf://child:x@127.0.0.1:{free_port()}", str(old.leaf_url)])
    await linked(east, old)
    assert [link.id for link in await east.leafz() if not link.to_parent] == [below]
    assert (east.pid, client.stats["reconnects"]) == (pid, 0)
    with pytest.raises(BadRequest):
        await east.attach("nonsense")
    assert await is_linked(east, old)


async def test_a_change_that_the_server_refuses_is_told_and_taken_back(tree: Tree) -> None:
    root = await tree.grow("root")
    config_file = root.state_dir / "nats.conf"
    before = config_file.read_text()
    process, config = root._process, root._config()
    assert process is not None
    other = dataclasses.replace(config, client_port=free_port())
    with pytest.raises(Unavailable, match="refused the change"):
        await Runner(config_file, None, 10).reload(process, other)
    assert config_file.read_text() == before
    await root.attach(None)


async def test_an_order_given_while_the_server_is_down_is_carried_out_when_it_is_back(tree: Tree) -> None:
    root = await tree.grow("root")
    east = await tree.grow("root.east")
    kill(east)
    await is_gone(east)
    await east.attach(root.leaf_url)
    await tree.watch(east)
    await linked(east, root)
