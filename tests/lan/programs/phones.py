"""Two phones at the web door of a gateway: pages in a headless Chromium, driven by its DevTools protocol.

    python -m tests.lan.programs.phones LINK DIRECTORY [picture]

Prints "ready" when it waits for a member to say XSS, and once more after the gateway should be killed and
started again at the same place. Writes DIRECTORY/phone.png. Fails if a page is not right. With `picture` it
only draws DIRECTORY/gateway.png, and waits for a member to ask for the projector.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp

XSS = "<img src=x onerror=\"document.title='owned'\"><b>bold</b>"
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-port=0",
)
PATIENCE = 40.0


class Page:
    """One tab of the browser, as wide as a phone."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket, self._ids = socket, itertools.count(1)
        self.errors: list[str] = []

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call the DevTools protocol."""
        number = next(self._ids)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            answer: dict[str, Any] = await self._socket.receive_json(timeout=PATIENCE)
            if answer.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.errors.append(json.dumps(answer["params"])[:500])
            if answer.get("id") == number:
                result: dict[str, Any] = answer["result"]
                return result

    async def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        answer = await self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until(self, script: str) -> None:
        """Wait until an expression is true."""
        for _ in range(int(PATIENCE / 0.1)):
            if await self.evaluate(script):
                return
            await asyncio.sleep(0.1)
        shown = await self.evaluate("document.body.innerText")
        raise AssertionError(f"never true: {script}\n{shown}\n{self.errors}")

    async def until_shown(self, text: str) -> None:
        """Wait until the messages hold a text."""
        await self.until(f"document.getElementById('log').innerText.includes({json.dumps(text)})")

    async def enter(self, name: str) -> None:
        """Type a name at the door."""
        await self.until("!document.getElementById('door').hidden")
        await self.evaluate(f"document.getElementById('name').value = {json.dumps(name)}")
        await self.evaluate("document.getElementById('door').requestSubmit()")
        await self.until("document.getElementById('door').hidden && !document.getElementById('say').hidden")

    async def say(self, text: str) -> None:
        """Type a message and press Enter."""
        await self.evaluate("document.getElementById('text').focus()")
        await self.call("Input.insertText", text=text)
        key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
        await self.call("Input.dispatchKeyEvent", type="keyDown", **key)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **key)

    async def count(self, text: str) -> int:
        """How many messages are this text."""
        script = "[...document.querySelectorAll('li .text')].filter(e => e.textContent === TEXT).length"
        script = script.replace("TEXT", json.dumps(text))
        return int(await self.evaluate(script))


async def opened(browser: aiohttp.ClientSession, at: str, link: str) -> Page:
    """A new tab with the page, in a browser of its own as far as cookies go."""
    async with browser.get(f"{at}/json/version") as answer:
        root = (await answer.json())["webSocketDebuggerUrl"]
    main = Page(await browser.ws_connect(root, max_msg_size=0))
    context = (await main.call("Target.createBrowserContext"))["browserContextId"]
    target = (await main.call("Target.createTarget", url="about:blank", browserContextId=context))["targetId"]
    page = Page(
        await browser.ws_connect(f"{at.replace('http', 'ws')}/devtools/page/{target}", max_msg_size=0)
    )
    for domain in ("Runtime", "Log", "Page"):
        await page.call(f"{domain}.enable")
    await page.call(
        "Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=2, mobile=True
    )
    await page.call("Page.navigate", url=link)
    return page


async def play(link: str, directory: Path, at: str) -> None:
    """What two people do."""
    async with aiohttp.ClientSession() as browser:
        ada, bob = await opened(browser, at, link), await opened(browser, at, link)
        await ada.enter("ada")
        await bob.enter("<b>bob</b>")
        await ada.say("hello from a phone")
        await bob.until_shown("hello from a phone")
        await ada.until_shown("heard by the other member")
        await bob.say("שלום, 你好 👋")
        await ada.until_shown("你好 👋")
        await bob.say("where is the projector?\n")
        print("ready", flush=True)
        await ada.until_shown("onerror")
        assert await ada.count(XSS) == 1
        assert not await ada.evaluate("document.querySelector('#log img, #log b') !== null")
        assert await ada.evaluate("document.title") == "mcast"
        assert await ada.evaluate("document.documentElement.scrollWidth") <= 390
        shot = await ada.call("Page.captureScreenshot", format="png")
        (directory / "phone.png").write_bytes(base64.b64decode(shot["data"]))
        # The network goes and comes: what was said meanwhile comes once.
        await bob.evaluate("socket.close()")
        await ada.say("said while bob slept")
        await bob.until_shown("said while bob slept")
        assert await bob.count("said while bob slept") == 1
        print("ready", flush=True)
        await bob.until("document.getElementById('link').textContent !== ''")
        await bob.until("document.getElementById('link').textContent === ''")
        assert await bob.count("hello from a phone") == 1
        assert not ada.errors, ada.errors


async def draw(link: str, directory: Path, at: str) -> None:
    """The picture of docs/gateway.md."""
    async with aiohttp.ClientSession() as browser:
        ada, bob = await opened(browser, at, link), await opened(browser, at, link)
        await ada.call(
            "Emulation.setDeviceMetricsOverride", width=390, height=560, deviceScaleFactor=1, mobile=True
        )
        await ada.enter("ada")
        await bob.enter("bob")
        await ada.say("hello from a phone")
        await bob.until_shown("hello from a phone")
        print("ready", flush=True)
        await bob.until_shown("projector")
        await bob.say("in the hall, I think")
        await ada.until_shown("in the hall")
        await ada.say("I can fetch it after lunch, if you need it today")
        await ada.until(
            "document.getElementById('log').lastElementChild.innerText.includes('heard by the other member')"
        )
        shot = await ada.call("Page.captureScreenshot", format="png")
        (directory / "gateway.png").write_bytes(base64.b64decode(shot["data"]))


async def main(link: str, directory: Path, what: Callable[[str, Path, str], Awaitable[None]]) -> None:
    """Start a browser, and do something with it."""
    profile = Path(tempfile.mkdtemp())
    process = await asyncio.create_subprocess_exec(
        "chromium", *FLAGS, f"--user-data-dir={profile}", "about:blank", stderr=asyncio.subprocess.DEVNULL
    )
    try:
        port = profile / "DevToolsActivePort"
        for _ in range(600):
            if port.exists() and port.read_text().count("\n"):
                break
            await asyncio.sleep(0.1)
        await what(link, directory, f"http://127.0.0.1:{port.read_text().split()[0]}")
    finally:
        process.terminate()
        await process.wait()
        shutil.rmtree(profile, ignore_errors=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), draw if "picture" in sys.argv else play))
