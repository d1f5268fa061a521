"""Work ends when its client goes, when it takes too long or when the server says so; and these are told apart."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.requests import Request

from shokunin.serve.receiving import LOOK_AFTER, unless_gone
from shokunin.serve.refusal import Refusal


class Client:
    """Goes after so many seconds."""

    def __init__(self, seconds: float = 3600.0) -> None:
        self.seconds = seconds
        self.asked = 0

    async def receive(self) -> Any:
        self.asked += 1
        await asyncio.sleep(self.seconds)
        return {"type": "http.disconnect"}

    @property
    def request(self) -> Request:
        return Request({"type": "http", "headers": []}, self.receive)


async def cut_off(seconds: float, seen: list[str]) -> str:
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        seen.append("cut off")
        raise
    return "done"


def run(story: Callable[[], Awaitable[Any]]) -> Any:
    async def whole() -> Any:
        value = await story()
        assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]
        await asyncio.sleep(0)  # a cancellation that was left behind would arrive here
        assert len(asyncio.all_tasks()) == 1
        return value

    return asyncio.run(whole())


def test_quick_work_is_done_without_looking() -> None:
    client = Client(0)
    assert run(lambda: unless_gone(client.request, cut_off(0.001, []))) == "done"
    assert client.asked == 0


@pytest.mark.parametrize("seconds", [0.0, LOOK_AFTER * 2])
def test_the_client_goes(seconds: float) -> None:
    seen: list[str] = []

    async def story() -> None:
        with pytest.raises(Refusal) as caught:
            await unless_gone(Client(seconds).request, cut_off(30, seen), 20)
        assert caught.value.status == 499

    run(story)
    assert seen == ["cut off"]


def test_it_takes_too_long() -> None:
    seen: list[str] = []

    async def story() -> None:
        with pytest.raises(TimeoutError):
            await unless_gone(Client().request, cut_off(30, seen), LOOK_AFTER * 2)

    run(story)
    assert seen == ["cut off"]


def test_slow_work_is_done_while_the_client_waits() -> None:
    client = Client()
    assert run(lambda: unless_gone(client.request, cut_off(LOOK_AFTER * 2, []))) == "done"
    assert client.asked == 1


def test_the_server_ends_it() -> None:
    async def story() -> None:
        task = asyncio.ensure_future(unless_gone(Client().request, cut_off(30, [])))
        await asyncio.sleep(LOOK_AFTER * 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)

    run(story)


def test_a_future_that_nobody_waits_for_any_more_is_cancelled() -> None:
    async def story() -> None:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        with pytest.raises(Refusal):
            await unless_gone(Client(0).request, future)
        assert future.cancelled()

    run(story)
