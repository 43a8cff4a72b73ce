"""A stub of an OpenAI-compatible chat endpoint; it keeps what it is asked."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Response = tuple[int, Any, dict[str, str]]
"""Status, content and headers. Content is JSON, a text, bytes, or a function that is given the
handler and answers by itself."""


def completion(content: str | None, finish_reason: str = "stop", **more: Any) -> Response:
    """A well-formed response with one choice; `more` is in its message."""
    message = {"role": "assistant", "content": content, **more}
    choice = {"index": 0, "message": message, "finish_reason": finish_reason}
    body = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    return 200, body, {}


def refusal(status: int, message: str = "no", code: str | None = None, **headers: str) -> Response:
    """An error in OpenAI's form; `retry_after` becomes a header."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return status, {"error": {"message": message, "code": code}}, named


class ChatStub(ThreadingHTTPServer):
    """Gives the responses of `script` first, then the completion that `reply` has for a prompt."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script: list[Response] = []
        self.reply = lambda prompt: completion("Yes.")
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.lock = threading.Lock()
        self.in_flight = self.most_in_flight = 0

    def handle_error(self, *_: object) -> None:
        """Stay silent about a client that gave up."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    @property
    def prompts(self) -> list[str]:
        return [body["messages"][-1]["content"] for body in self.bodies]


class _Handler(BaseHTTPRequestHandler):
    server: ChatStub

    def do_POST(self) -> None:
        stub = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with stub.lock:
            stub.bodies.append(body)
            stub.keys.append(self.headers.get("Authorization"))
            stub.in_flight += 1
            stub.most_in_flight = max(stub.most_in_flight, stub.in_flight)
            scripted = stub.script.pop(0) if stub.script else None
        status, content, headers = scripted or stub.reply(body["messages"][-1]["content"])
        with stub.lock:
            stub.in_flight -= 1
        if callable(content):
            content(self)
            return
        text = content if isinstance(content, str | bytes) else json.dumps(content)
        data = text if isinstance(text, bytes) else text.encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@contextmanager
def running_stub() -> Iterator[ChatStub]:
    """A stub that serves until the block ends."""
    stub = ChatStub()
    thread = threading.Thread(target=stub.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield stub
    finally:
        stub.shutdown()
        stub.server_close()
        thread.join()
