"""The web door: a page for phones, over plain HTTP (aiohttp)."""

from __future__ import annotations

import asyncio
import contextlib
import io
import ipaddress
import json
import secrets
import shutil
import socket
import tempfile
import time
from collections import OrderedDict
from importlib.resources import files
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import segno
from aiohttp import WSCloseCode, WSMsgType, hdrs, web

from mcast.aio import Receipt
from mcast.core.token_bucket import TokenBucket
from mcast.errors import McastError, UsageError
from mcast.net.escaping import escape

from .lines import parse_listen, refused
from .lobby import Guest, Line, Lobby, clean

SESSIONS = 4000  # guests that are remembered; the attack is who enters again and again: oldest out
SOCKETS = 8  # tabs of one guest
ASLEEP = 60.0  # seconds without a tab after which a guest has left; its session stays
SAID = 200  # messages of one guest that it may say again without doubling them
UNREAD = 500  # lines that wait for one tab; a tab that is further behind is closed, and asks again for all
TRIES, TRY_SECONDS = 5, 60.0  # wrong PINs of one address in a row, and seconds until it may try again
GUESSES, GUESSES_A_SECOND = 30, 0.1  # wrong PINs of all addresses together
ADDRESSES = 1024  # that tried a wrong PIN, oldest out
LONGEST = 60 * 1024  # bytes of a message
FILE = 25 * 1024 * 1024  # bytes of a file
FILES = 10 * FILE  # bytes of all files; the oldest go first
UPLOADS = 4  # at the same time
WATCH = (0.3, 0.7, 1.5, 3.0, 6.0, 10.0)  # seconds after which the speaker is told who has confirmed
WATCHED = 16  # messages watched at a time: each asks the group for confirmations
COOKIE = "mcast"
COMMON = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Door:
    """Who may come in: the secret in the link, or the PIN; `everybody` without either.

    The attack: guessing the PIN. Each address has five tries a minute, all together thirty, then one in 10 s.
    """

    def __init__(self, everybody: bool, secret: str | None = None) -> None:
        self.everybody = everybody
        self.secret = secret or secrets.token_urlsafe(16)
        self.pin = f"{secrets.randbelow(1_000_000):06d}"
        self._wrong: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._guesses = TokenBucket(GUESSES_A_SECOND, GUESSES, time.monotonic())

    def opens(self, key: object, pin: object, address: str, now: float) -> str:
        """Empty if it opens, else what to tell the guest."""
        if self.everybody or (isinstance(key, str) and _same(key, self.secret)):
            return ""
        if not pin:
            return "Type the PIN that the gateway shows."
        count, at = self._wrong.get(address, (0, now))
        if now - at >= TRY_SECONDS:
            count = 0
        if count >= TRIES or self._guesses.level(now) < 1:
            return "Too many wrong PINs. Try again in a minute."
        if isinstance(pin, str) and _same(pin.strip(), self.pin):
            self._wrong.pop(address, None)
            return ""
        self._guesses.spend(1, now)
        self._wrong.pop(address, None)
        self._wrong[address] = count + 1, now
        if len(self._wrong) > ADDRESSES:
            self._wrong.popitem(last=False)
        return "That is not the PIN."


class Session:
    """One guest's browser: its guest while it is here, its tabs, and what it said last."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.guest: Guest | None = None
        self.guests: set[Guest] = set()  # those it was so far
        self.tabs: set[Tab] = set()
        self.said: OrderedDict[str, str] = OrderedDict()  # what the page calls its last lines, and their ids
        self.leaving: asyncio.TimerHandle | None = None


class Tab:
    """A WebSocket of a guest, and what waits for it."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self.socket = socket
        self.queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(UNREAD)
        self.behind = False

    def put(self, item: dict[str, Any]) -> None:
        """Send an item soon. A tab that does not read is closed."""
        try:
            self.queue.put_nowait(item)
        except asyncio.QueueFull:
            self.behind = True

    async def send_all(self) -> None:
        """Send what waits, until the tab is closed or too far behind."""
        while not self.behind:
            await self.socket.send_str(json.dumps(await self.queue.get(), ensure_ascii=False))
        await self.socket.close(code=WSCloseCode.TRY_AGAIN_LATER)


class Files:
    """What guests upload, kept in a temporary directory until the gateway closes. Links cannot be guessed."""

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="mcast-gateway-"))
        self._files: OrderedDict[str, tuple[str, int]] = OrderedDict()
        self._size = 0
        self.uploads = 0

    def new(self) -> tuple[str, Path]:
        """The key and the path of a file to be written."""
        key = secrets.token_urlsafe(16)
        return key, self._directory / key

    def add(self, key: str, name: str, size: int) -> None:
        """The file is complete. The oldest make room."""
        self._files[key] = name, size
        self._size += size
        while self._size > FILES:
            old, (_, size) = self._files.popitem(last=False)
            self._size -= size
            (self._directory / old).unlink(missing_ok=True)

    def find(self, key: str) -> tuple[str, Path] | None:
        """Its name and path."""
        known = self._files.get(key)
        return None if known is None else (known[0], self._directory / key)

    def remove(self) -> None:
        """Remove them all."""
        shutil.rmtree(self._directory, ignore_errors=True)


class Web:
    """Serves the page, while it is entered.

    listen: `HOST:PORT`. everybody: without link or PIN. secret: what stands in the link, so that it stays the
    same after a restart; default: a new one. Entering raises UsageError, PortTaken or McastError.
    """

    def __init__(
        self, lobby: Lobby, listen: str, *, everybody: bool = False, secret: str | None = None
    ) -> None:
        self._lobby, self._listen = lobby, parse_listen(listen, 8080)
        self._door = Door(everybody, secret)
        self._boot = secrets.token_hex(4)
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._files = Files()
        self._tasks: set[asyncio.Task[None]] = set()
        self._page = (files("mcast.gateway") / "page.html").read_text("utf-8")
        self._runner: web.AppRunner | None = None

    @property
    def pin(self) -> str:
        """Six digits for who has not got the link."""
        return self._door.pin

    @property
    def addresses(self) -> list[str]:
        """Where it listens, each as HOST:PORT."""
        names = self._runner.addresses if self._runner is not None else []
        return [f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}" for name in names]

    @property
    def links(self) -> list[str]:
        """The links that open the page. The secret is behind `#`: browsers send it to nobody."""
        key = "" if self._door.everybody else f"#k={self._door.secret}"
        return [f"http://{address}/{key}" for address in map(_reachable, self.addresses)]

    def qr_code(self) -> list[str]:
        """The first link as a QR code for a terminal."""
        drawn = io.StringIO()
        segno.make(self.links[0], error="l").terminal(drawn, border=2, compact=True)
        return drawn.getvalue().splitlines()

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 * 1024, middlewares=[_guarded])
        app.router.add_get("/", self._get_page)
        app.router.add_post("/enter", self._enter)
        app.router.add_get("/talk", self._talk)
        app.router.add_post("/upload", self._upload)
        app.router.add_get("/file/{key}/{name}", self._file)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await self._runner.setup()
        host, port = self._listen
        try:
            await web.TCPSite(self._runner, host, port, backlog=512).start()
        except socket.gaierror:
            await self._closed()
            raise UsageError(f"{host!r} is no address of this computer", "see: mcast interfaces") from None
        except OSError as error:
            await self._closed()
            raise refused(host, port, error) from None
        return self

    async def __aexit__(self, *_: object) -> None:
        for session in self._sessions.values():
            for tab in list(session.tabs):
                await tab.socket.close(code=WSCloseCode.GOING_AWAY)
            self._let_go(session)
        await self._closed()

    async def _closed(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._runner is not None:
            await self._runner.cleanup()
        self._files.remove()

    # The page

    async def _get_page(self, _: web.Request) -> web.Response:
        nonce = secrets.token_urlsafe(16)
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
            "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        page = self._page.replace("{{nonce}}", nonce)
        headers = {"Content-Security-Policy": policy}
        return web.Response(text=page, content_type="text/html", headers=headers)

    async def _enter(self, request: web.Request) -> web.Response:
        """Let a guest in: who has a session needs no PIN."""
        try:
            asked = await request.json()
        except (ValueError, UnicodeDecodeError, RecursionError):
            raise web.HTTPBadRequest from None
        if not isinstance(asked, dict):
            raise web.HTTPBadRequest
        session = self._session(request)
        key = request.cookies.get(COOKIE, "")
        if session is None:
            now = time.monotonic()
            problem = self._door.opens(asked.get("key"), asked.get("pin"), request.remote or "", now)
            if problem:
                return web.json_response({"problem": problem, "locked": True}, status=403)
            key, session = secrets.token_urlsafe(16), Session("")
            self._sessions[key] = session
            if len(self._sessions) > SESSIONS:
                self._let_go(self._sessions.popitem(last=False)[1])
        name = asked.get("name")
        answer = web.json_response({"name": session.name})
        if isinstance(name, str) and name and clean(name) != session.name:
            try:
                self._name(session, name)
                answer = web.json_response({"name": session.name})
            except UsageError as error:
                answer = web.json_response({"problem": _sentence(error)}, status=409)
        answer.set_cookie(COOKIE, key, httponly=True, samesite="Strict", path="/")
        return answer

    def _name(self, session: Session, name: str) -> None:
        if session.guest is not None:
            self._lobby.rename(session.guest, name)
            session.name = session.guest.name
        else:
            session.guest = self._lobby.enter(lambda line: self._tell(session, line), name)
            session.guests.add(session.guest)
            session.name = session.guest.name
            self._leave_later(session)

    def _session(self, request: web.Request) -> Session | None:
        key = request.cookies.get(COOKIE, "")
        session = self._sessions.get(key)
        if session is not None:
            self._sessions.move_to_end(key)
        return session

    def _let_go(self, session: Session) -> None:
        if session.leaving is not None:
            session.leaving.cancel()
        if session.guest is not None:
            self._lobby.leave(session.guest)
            session.guest = None

    def _leave_later(self, session: Session) -> None:
        """A phone that sleeps comes back: the guest leaves only after a while."""
        if session.leaving is not None:
            session.leaving.cancel()
        session.leaving = asyncio.get_running_loop().call_later(ASLEEP, self._let_go, session)

    # Talking

    async def _talk(self, request: web.Request) -> web.WebSocketResponse:
        session = self._session(request)
        if session is None:
            raise web.HTTPForbidden
        if session.guest is None:
            try:
                self._name(session, session.name or "")
            except UsageError:
                self._name(session, "")
        if len(session.tabs) >= SOCKETS:
            raise web.HTTPTooManyRequests
        answer = web.WebSocketResponse(heartbeat=20.0, max_msg_size=LONGEST + 1024, compress=False)
        await answer.prepare(request)
        tab = Tab(answer)
        self._catch_up(session, tab, request.query.get("after", ""))
        session.tabs.add(tab)
        if session.leaving is not None:
            session.leaving.cancel()
        sending = asyncio.create_task(_quietly(tab.send_all()))
        try:
            async for message in answer:
                if message.type is WSMsgType.TEXT:
                    await self._heard(session, tab, message.data)
        finally:
            sending.cancel()
            session.tabs.discard(tab)
            if not session.tabs and session.guest is not None:
                self._leave_later(session)
        return answer

    def _catch_up(self, session: Session, tab: Tab, after: str) -> None:
        """What a tab has missed since line `after`, BOOT:NUMBER; all that is kept if that is too old."""
        boot, _, number = after.partition(":")
        same = boot == self._boot and number.isascii() and number.isdigit()
        tab.put({"t": "hello", "boot": self._boot, "name": session.name, "room": self._lobby.name})
        for line in self._lobby.since(int(number[:18]) if same else 0):
            tab.put(self._item(session, line))

    def _item(self, session: Session, line: Line) -> dict[str, Any]:
        mine = line.guest is not None and line.guest in session.guests
        return {
            "t": "line" if line.sender else "notice",
            "n": line.number,
            "at": round(line.seconds * 1000),
            "from": escape(line.sender),
            "text": line.text,
            "id": line.id,
            **({"mine": True} if mine else {}),
            **({"history": True} if line.history else {}),
        }

    def _tell(self, session: Session, line: Line) -> None:
        item = self._item(session, line)
        for tab in session.tabs:
            tab.put(item)

    async def _heard(self, session: Session, tab: Tab, data: str) -> None:
        try:
            said = json.loads(data)
        except (ValueError, RecursionError):
            return
        guest = session.guest
        if not isinstance(said, dict) or guest is None:
            return
        if "who" in said:
            tab.put({"t": "who", "who": [escape(name) for name in self._lobby.who()]})
            return
        text, called = said.get("text"), said.get("c")
        if isinstance(text, str) and isinstance(called, str) and text.strip() and len(called) <= 40:
            await self._say(session, guest, tab, text.encode("utf-8", "replace"), called)

    async def _say(self, session: Session, guest: Guest, tab: Tab, text: bytes, called: str) -> None:
        """Send what a page says, once, though it may say it again after it was asleep."""
        if called in session.said:
            tab.put({"t": "sent", "c": called, "id": session.said[called]})
            return
        if len(text) > LONGEST:
            tab.put({"t": "refused", "c": called, "problem": "Too long: at most 60 KiB."})
            return
        session.said[called] = ""
        if len(session.said) > SAID:
            session.said.popitem(last=False)
        await asyncio.sleep(self._lobby.delay(guest, len(text)))
        try:
            receipt = await self._lobby.say(guest, text.decode())
        except McastError as error:
            session.said.pop(called, None)
            tab.put({"t": "refused", "c": called, "problem": _sentence(error)})
            return
        session.said[called] = receipt.id
        for one in session.tabs:
            one.put({"t": "sent", "c": called, "id": receipt.id})
        if len(self._tasks) < WATCHED:
            task = asyncio.create_task(_quietly(self._watch(session, receipt)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _watch(self, session: Session, receipt: Receipt) -> None:
        """Tell the guest how many have its message, until all have or ten seconds have passed."""
        before, last = 0.0, (-1, -1)
        for at in WATCH:
            complete = await receipt.confirmed(timeout=at - before)
            before = at
            heard, missing = len(receipt.heard_by), len(receipt.unheard_by)
            if (heard, missing) != last:
                last = heard, missing
                for tab in session.tabs:
                    tab.put({"t": "heard", "id": receipt.id, "heard": heard, "missing": missing})
            if complete and not missing:
                return

    # Files

    async def _upload(self, request: web.Request) -> web.Response:
        session = self._session(request)
        if session is None or session.guest is None:
            raise web.HTTPForbidden
        if (request.content_length or 0) > FILE:
            return web.json_response({"problem": "Too large: at most 25 MB."}, status=413)
        if self._files.uploads >= UPLOADS:
            return web.json_response({"problem": "Others are uploading. Try again soon."}, status=429)
        name = _file_name(request.query.get("name", ""))
        key, path = self._files.new()
        self._files.uploads += 1
        size = 0
        try:
            with path.open("xb") as file:
                async for piece in request.content.iter_chunked(64 * 1024):
                    size += len(piece)
                    if size > FILE:
                        path.unlink()
                        return web.json_response({"problem": "Too large: at most 25 MB."}, status=413)
                    await asyncio.to_thread(file.write, piece)
        except OSError:
            path.unlink(missing_ok=True)
            problem = "The gateway cannot store it: its disk may be full."
            return web.json_response({"problem": problem}, status=507)
        except (asyncio.CancelledError, ConnectionError):
            path.unlink(missing_ok=True)
            raise
        finally:
            self._files.uploads -= 1
        self._files.add(key, name, size)
        link = f"http://{request.host}/file/{key}/{quote(name)}"
        try:
            await self._lobby.say(session.guest, f"{name} ({_size(size)}): {link}")
        except McastError as error:
            return web.json_response({"problem": _sentence(error)}, status=503)
        return web.json_response({})

    async def _file(self, request: web.Request) -> web.StreamResponse:
        """A file, always to be saved and never shown as a page. Its link is the permission to get it."""
        known = self._files.find(request.match_info["key"])
        if known is None:
            raise web.HTTPNotFound(text="This file is not here any more.")
        name, path = known
        headers = {
            hdrs.CONTENT_DISPOSITION: f"attachment; filename*=UTF-8''{quote(name, safe='')}",
            "Content-Security-Policy": "default-src 'none'; sandbox",
        }
        answer = web.FileResponse(path, headers=headers)
        answer.content_type = "application/octet-stream"
        return answer


@web.middleware
async def _guarded(request: web.Request, handler: Any) -> web.StreamResponse:
    """Refuse what another site's page sends, and names of hosts that are not ours (DNS rebinding)."""
    host = request.host.rpartition(":")[0] if not request.host.endswith("]") else request.host
    try:
        ipaddress.ip_address((host or request.host).strip("[]"))
    except ValueError:
        if (host or request.host) not in ("localhost", socket.gethostname()):
            raise web.HTTPMisdirectedRequest(text="Use the address that the gateway shows.") from None
    origin = request.headers.get(hdrs.ORIGIN)
    needed = request.method == "POST" or request.path == "/talk"
    if (origin is not None or needed) and origin != f"http://{request.host}":
        raise web.HTTPForbidden(text="This came from another page.")
    try:
        answer: web.StreamResponse = await handler(request)
    except web.HTTPException as error:
        error.headers.update(COMMON)
        raise
    if not answer.prepared:
        answer.headers.update(COMMON)
    return answer


async def _quietly(work: Any) -> None:
    """Do it; who has gone, or a closed group, is no error."""
    with contextlib.suppress(ConnectionError, McastError):
        await work


def _same(one: str, other: str) -> bool:
    return secrets.compare_digest(one.encode("utf-8", "replace"), other.encode())


def _sentence(error: McastError) -> str:
    text = str(error)
    return text[:1].upper() + text[1:] + "."


def _reachable(address: str) -> str:
    """An address for a link: 0.0.0.0 is nowhere."""
    host, _, port = address.rpartition(":")
    return f"127.0.0.1:{port}" if host in ("0.0.0.0", "[::]") else address  # noqa: S104 - compared, not bound


def _file_name(text: str) -> str:
    """A name without folders, controls and what would end it; never empty."""
    name = "".join(char for char in text.replace("\\", "/").rpartition("/")[2] if char.isprintable())
    return name.strip(". ")[:100] or "file"


def _size(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"
