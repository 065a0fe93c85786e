"""The playground's process: HTTP on the loopback, one thread that computes, and when it ends.

It listens on a free port of 127.0.0.1 and answers who knows the token in cache/locks/serve.lock, a file its owner alone may read. A page in
a browser does not, and what a browser sends of another site's page (a foreign Host, any Origin) is refused before that is looked at.
"""

import hmac
import json
import logging
import os
import secrets
import socketserver
import stat
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from engine.errors import ConfigError, PrefscopeError
from engine.machine import memory
from engine.serve.models import Models
from engine.serve.replies import REPLIES, Line
from engine.serve.requests import Asked, read
from engine.store.server import Server, announce, lock_of_server, run_going_on

LONGEST_REQUEST = 4_000_000  # bytes
LOOK_EVERY = 1.0  # seconds between two looks at whether to end
LAST_WORDS = 10.0  # seconds in which requests that are going on may end

log = logging.getLogger("serve")


@dataclass
class Work:
    """Requests and the models they are done with. All that touches a model happens in one thread, step by step in the order asked."""

    models: Models
    idle_seconds: float
    ending: str = ""  # why it ends
    going_on: int = 0
    last_used: float = field(default_factory=time.monotonic)
    abandoned: threading.Event = field(default_factory=threading.Event)  # who started it has ended
    thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "models"))
    counting: threading.Lock = field(default_factory=threading.Lock)

    def lines(self, asked: Asked) -> Iterator[Line]:
        """What is found, then {done}; or {error}, a sentence. Work on it ends when nobody reads on."""
        source = REPLIES[asked.what](self.models, asked)
        with self.counted():
            try:
                while not self.ending:
                    line = self.thread.submit(next, source, None).result()
                    if line is None:
                        yield {"done": True}
                        return
                    yield line
                yield {"error": self.ending}
            except PrefscopeError as problem:
                yield {"error": str(problem)}
            except Exception as problem:  # whatever else goes wrong is a sentence there and a traceback here
                log.exception("failed")
                yield {"error": self.unforeseen(problem)}
            finally:
                self.thread.submit(source.close)  # type: ignore[attr-defined]

    def unforeseen(self, problem: Exception) -> str:
        if memory.is_out_of_memory(problem):
            self.models.held.clear()
            return f"it {memory.needs()}: ask for fewer tokens, or close what else takes memory"
        return f"{type(problem).__name__} (the traceback is in {lock_of_server(self.models.cache).with_suffix('.log')})"

    @contextmanager
    def counted(self) -> Iterator[None]:
        with self.counting:
            self.going_on += 1
        try:
            yield
        finally:
            with self.counting:
                self.going_on, self.last_used = self.going_on - 1, time.monotonic()

    def reason_to_end(self) -> str:
        """A sentence, or nothing while there is none."""
        cache = self.models.cache
        if self.abandoned.is_set():
            return "the dashboard that started the playground has ended"
        if not lock_of_server(cache).is_file():
            return f"{cache} is gone"
        if run := run_going_on(cache):
            return f"run {run.outline.name!r} has begun and takes the memory: ask again when it is done"
        if not self.going_on and time.monotonic() - self.last_used > self.idle_seconds:
            return "nobody has asked for a while"
        return ""


class Handler(BaseHTTPRequestHandler):
    """One request: a POST of JSON, answered with a line of JSON for each thing found."""

    server: "Listener"
    timeout = 30  # seconds in which a reader must take what is sent
    server_version = "prefscope"

    def do_POST(self) -> None:
        """Refuse who may not ask, then answer line by line until the reader goes away."""
        try:
            if refusal := self.refusal():
                self.begin(403)
                self.send({"error": refusal})
                return
            try:
                asked = read(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            except (ConfigError, ValueError) as problem:
                self.begin(400)
                self.send({"error": str(problem)})
                return
            self.begin(200)
            lines = self.server.work.lines(asked)
            try:
                for line in lines:
                    self.send(line)
            finally:
                lines.close()  # type: ignore[attr-defined]
        except (ConnectionError, TimeoutError):
            log.info("the reader has gone")

    def refusal(self) -> str:
        """Why this request is not answered; nothing when it is."""
        if self.headers.get("Host") != f"127.0.0.1:{self.server.server_address[1]}" or "Origin" in self.headers:
            return "a request of a web page: expected one of this machine's dashboard"
        if not hmac.compare_digest(self.headers.get("Authorization", "").encode(), f"Bearer {self.server.token}".encode()):
            return "the token is missing or wrong"
        length = self.headers.get("Content-Length", "")
        return (
            ""
            if length.isdecimal() and int(length) <= LONGEST_REQUEST
            else f"Content-Length is {length!r}, expected at most {LONGEST_REQUEST}"
        )

    def begin(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()

    def send(self, line: Line) -> None:
        self.wfile.write(json.dumps(line).encode() + b"\n")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: what is asked is nobody's business."""


class Listener(ThreadingHTTPServer):
    """A free port of 127.0.0.1."""

    daemon_threads = True

    def __init__(self, work: Work) -> None:
        self.work, self.token = work, secrets.token_urlsafe(32)
        super().__init__(("127.0.0.1", 0), Handler)

    def server_bind(self) -> None:
        """Without the look at the name of the machine, which may ask a name server."""
        socketserver.TCPServer.server_bind(self)


def serve(cache: Path, lock: int, idle_seconds: float, limit: int | None) -> str:
    """Answer until there is a reason to end; the reason. lock: on lock_of_server(cache), held."""
    work = Work(Models(cache, limit), idle_seconds)
    with Listener(work) as listener:
        watch_starter(work)
        threading.Thread(target=watch, args=(work, listener), daemon=True).start()
        announce(lock, Server(os.getpid(), listener.server_address[1], listener.token))
        listener.serve_forever(poll_interval=0.2)
        announce(lock, None)
    deadline = time.monotonic() + LAST_WORDS
    while work.going_on and time.monotonic() < deadline:
        time.sleep(0.05)
    return work.ending


def watch(work: Work, listener: Listener) -> None:
    """End when there is a reason to."""
    while not work.ending:
        time.sleep(LOOK_EVERY)
        try:
            work.ending = work.reason_to_end()
        except PrefscopeError as problem:  # a run's folder vanished while it was looked at
            log.info("%s", problem)
    listener.shutdown()


def watch_starter(work: Work) -> None:
    """Who started this process holds the other end of its input, which closes with them; what else it may read from tells nothing."""

    def wait() -> None:
        sys.stdin.buffer.read()
        work.abandoned.set()

    if stat.S_ISFIFO(os.fstat(sys.stdin.fileno()).st_mode):
        threading.Thread(target=wait, daemon=True).start()
