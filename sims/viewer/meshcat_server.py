"""A small web server for meshcat's viewer: one thread, one address, commands out, events of the controls in.

The server of the meshcat package is a process of its own that listens on all addresses and drops what the browser's
controls say; hence this one, on the package's tornado.
"""

import asyncio
import json
import socket
import threading
from collections.abc import Callable

import tornado.httpserver
import tornado.netutil
import tornado.web
import tornado.websocket

from sims.viewer.canvas import cannot_listen
from sims.viewer.meshcat_page import javascript, live_page


class Server:
    """Serves the page at http://host:port; `send` reaches every browser.

    on_event(dict) and scene(), the commands that a browser which connects now must get first, are called in the
    server's thread.
    """

    def __init__(
        self, *, host: str, port: int | None, scene: Callable[[], list[bytes]], on_event: Callable[[dict], None]
    ):
        self._application = tornado.web.Application(
            [
                ("/", _Text, {"text": live_page(), "kind": "text/html; charset=utf-8"}),
                ("/main.min.js", _Text, {"text": javascript(), "kind": "text/javascript; charset=utf-8"}),
                ("/ws", _Socket, {"server": self}),
            ],
            log_function=lambda handler: None,
        )
        self._sockets = _listen(host, port)
        self.port = self._sockets[0].getsockname()[1]
        self._scene, self._on_event = scene, on_event
        self._clients: set[tornado.websocket.WebSocketHandler] = set()
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="meshcat-server", daemon=True)
        self._thread.start()
        ready.wait()

    def send(self, command: bytes) -> None:
        """Queue a command for every browser that is connected; RuntimeError after `close`."""
        if not self._thread.is_alive():
            raise RuntimeError("this viewer is closed: make a new one")
        self._loop.call_soon_threadsafe(self._broadcast, command)

    def browsers(self) -> int:
        """How many browsers are connected."""
        return len(self._clients)

    def close(self) -> None:
        """Disconnect the browsers, free the port, end the thread."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    def _run(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        http = tornado.httpserver.HTTPServer(self._application)
        http.add_sockets(self._sockets)
        self._loop.call_soon(ready.set)
        try:
            self._loop.run_forever()
        finally:
            http.stop()
            for client in list(self._clients):
                client.close()
            self._loop.run_until_complete(self._finish(http))
            self._loop.close()

    async def _finish(self, http: tornado.httpserver.HTTPServer) -> None:
        await asyncio.wait_for(http.close_all_connections(), timeout=2.0)
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _broadcast(self, command: bytes) -> None:
        for client in list(self._clients):
            client.tell(command)

    def welcome(self, client: "_Socket") -> None:
        """Called by a new connection: it gets the scene so far, then what follows."""
        for command in self._scene():
            client.tell(command)
        self._clients.add(client)

    def farewell(self, client: "_Socket") -> None:
        """Called by a connection that ended."""
        self._clients.discard(client)

    def hear(self, message: str | bytes) -> None:
        """Called with what a browser sent; what is not a JSON object is ignored."""
        try:
            event = json.loads(message)
        except ValueError:
            return
        if isinstance(event, dict):
            self._on_event(event)


class _Text(tornado.web.RequestHandler):
    def initialize(self, text: bytes, kind: str) -> None:
        self._text, self._kind = text, kind

    def get(self) -> None:
        self.set_header("Content-Type", self._kind)
        self.set_header("Cache-Control", "no-store")
        self.finish(self._text)


class _Socket(tornado.websocket.WebSocketHandler):
    """One browser; tornado refuses pages of another origin."""

    def initialize(self, server: Server) -> None:
        self._server = server

    def open(self, *args, **kwargs) -> None:
        self.set_nodelay(True)
        self._server.welcome(self)

    def on_message(self, message) -> None:
        self._server.hear(message)

    def on_close(self) -> None:
        self._server.farewell(self)

    def tell(self, command: bytes) -> None:
        """Send one command; a browser that left meanwhile is forgotten."""
        try:
            self.write_message(command, binary=True)
        except tornado.websocket.WebSocketClosedError:
            self._server.farewell(self)


def _listen(host: str, port: int | None) -> list[socket.socket]:
    """Listening sockets at host:port, or at the first free port from 7000 on."""
    last: OSError | None = None
    for candidate in range(7000, 8000) if port is None else [port]:
        try:
            return tornado.netutil.bind_sockets(candidate, address=host, family=socket.AF_INET)
        except OSError as error:
            last = error
    raise cannot_listen(host, port, last)
