"""One world serves the tests of a module, one after the other, until one of them fails in it."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio
import structlog

from tests.faults.world import World, world

Fresh = Callable[[], Awaitable[World]]


@pytest.fixture(scope="module", autouse=True)
def few_words() -> Iterator[None]:
    """Clients of servers that are killed have much to say, and nothing new."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    yield
    structlog.reset_defaults()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def a_world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fresh]:
    """Gives a world in which nothing has gone wrong yet."""
    standing: list[World] = []
    async with AsyncExitStack() as stack:

        async def fresh() -> World:
            if not standing or standing[-1].spoiled:
                await stack.aclose()
                standing.append(await stack.enter_async_context(world(tmp_path_factory.mktemp("tree"))))
            return standing[-1]

        yield fresh
        if standing and not standing[-1].spoiled:
            await standing[-1].verified()


@pytest_asyncio.fixture(loop_scope="module")
async def shared(a_world: Fresh) -> AsyncIterator[World]:
    """The world of this module; the test ends with `at_rest`, which finds it whole."""
    found = await a_world()
    found.spoiled = True
    yield found
