"""A guest at the web door of a gateway, request by request, without a browser.

    python -m tests.lan.programs.web_guest LINK PIN

Prints "ready" when it waits for a message with `<b>hi</b>` of a member. Fails if an answer is not right.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import aiohttp

OWN = "<script>alert(1)</script>"


async def until(socket: aiohttp.ClientWebSocketResponse, kind: str, **fields: Any) -> dict[str, Any]:
    """The next item of a kind with these fields."""
    while True:
        item: dict[str, Any] = await socket.receive_json(timeout=30)
        if item["t"] == kind and all(item.get(name) == value for name, value in fields.items()):
            return item


async def main(link: str, pin: str) -> None:
    """Go through all that the page does."""
    site, _, key = link.partition("/#k=")
    origin = {"Origin": site}
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(site, headers=origin, cookie_jar=jar) as browser:
        async with browser.get("/") as page:
            assert page.status == 200
            assert "default-src 'none'" in page.headers["Content-Security-Policy"]
            assert len(await page.read()) < 40_000

        async def enter(**asked: str) -> tuple[int, dict[str, Any]]:
            async with browser.post("/enter", json=asked) as answer:
                return answer.status, await answer.json(content_type=None)

        # Another page, another host's name, no permission, no session.
        async with browser.post("/enter", json={"key": key}, headers={"Origin": "http://evil"}) as answer:
            assert answer.status == 403
        async with browser.get("/", headers={"Host": "evil.example"}) as answer:
            assert answer.status == 421
        async with browser.get("/talk") as answer:
            assert answer.status == 403
        async with browser.post("/upload?name=x", data=b"x") as answer:
            assert answer.status == 403
        async with browser.post("/enter", data=b"[" * 50_000) as answer:
            assert answer.status == 400

        # Five wrong PINs, and the right one is too late. The link opens all the same.
        for _ in range(5):
            assert await enter(pin="123" if pin != "123" else "124", name="x") == (
                403,
                {"problem": "That is not the PIN.", "locked": True},
            )
        status, answered = await enter(pin=pin, name="x")
        assert (status, answered["problem"]) == (403, "Too many wrong PINs. Try again in a minute.")
        assert (await enter(key=key, name="bob"))[0] == 409
        assert await enter(key=key, name="<i>ada") == (200, {"name": "iada"})

        async with browser.ws_connect("/talk?after=") as socket:
            hello = await until(socket, "hello")
            await socket.send_json({"c": "1", "text": OWN})
            own = await until(socket, "line")
            assert (own["text"], own["mine"], own["from"]) == (OWN, True, "iada (guest)")
            assert (await until(socket, "sent", c="1"))["id"] == own["id"]
            await socket.send_json({"c": "1", "text": OWN})  # as after a sleep: it is not said twice
            assert (await until(socket, "sent", c="1"))["id"] == own["id"]
            assert (await until(socket, "heard", id=own["id"], missing=0))["heard"] == 1
            await socket.send_str("nonsense")
            await socket.send_str("[" * 10_000)
            await socket.send_json({"c": 1, "text": 2})
            await socket.send_json({"c": "2", "text": "x" * 62_000})
            assert (await until(socket, "refused", c="2"))["problem"].startswith("Too long")
            print("ready", flush=True)
            heard = await until(socket, "line", text="<b>hi</b>")
            assert heard["from"].startswith("eve·")
            await socket.send_json({"who": True})
            assert "iada (guest)" in (await until(socket, "who"))["who"]

        # Asleep, and back: only what is new. From before a restart: all that is kept.
        async with browser.ws_connect(f"/talk?after={hello['boot']}:{own['n']}") as socket:
            await until(socket, "hello")
            assert (await until(socket, "line"))["n"] == heard["n"]
        async with browser.ws_connect("/talk?after=feed:99") as socket:
            await until(socket, "hello")
            line = await until(socket, "line")
            assert (line["n"], line["mine"]) == (own["n"], True)
            async with browser.post("/upload?name=..%2F..%2Freport.txt", data=b"12345" * 1000) as answer:
                assert answer.status == 200
            uploaded = await until(socket, "line", mine=True)
            where = uploaded["text"].partition(": ")[2].removeprefix(site)
        async with browser.get(where) as answer:
            assert answer.headers["Content-Disposition"] == "attachment; filename*=UTF-8''report.txt"
            assert answer.content_type == "application/octet-stream"
            assert await answer.read() == b"12345" * 1000
        async with browser.get("/file/guess/report.txt") as answer:
            assert answer.status == 404
        large = b"x" * (25 * 1024 * 1024 + 1)
        async with browser.post("/upload?name=large", data=large) as answer:
            assert answer.status == 413


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
