"""A stub of vLLM's HTTP interface and its prefix cache; it keeps book of what it is asked."""

import json
import threading
from collections import Counter
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Stub(ThreadingHTTPServer):
    """Answers "<contents of the adapter>:<prompt>:<seed>", one token per prompt character or id."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.posts: list[tuple[str, dict]] = []
        self.adapters: dict[str, tuple[str, str]] = {}
        self.prefix_cache: dict[tuple, str] = {}
        self.in_flight = Counter()
        self.most_in_flight = Counter()
        self.faults = {}
        """Path -> what to do with a post in place of answering; a falsy result: go on."""
        self.choices = lambda choices: choices
        """Applied to the choices of every completion."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def bodies(self, path: str) -> list[dict]:
        return [body for posted, body in self.posts if posted == path]

    def load_lora_adapter(self, body):
        name, path = body["lora_name"], Path(body["lora_path"])
        if name in self.adapters:
            return 400, {"error": {"message": f"{name} has already been loaded"}}
        self.adapters[name] = (str(path), (path / "adapter_model.safetensors").read_text())
        return 200, "Success"

    def unload_lora_adapter(self, body):
        del self.adapters[body["lora_name"]]
        return 200, "Success"

    def completions(self, body):
        model = body["model"]
        if model not in self.adapters and model != "base":
            return 404, {"error": {"message": f"The model `{model}` does not exist."}}
        path, weights = self.adapters.get(model, ("", "bare"))
        choices = []
        for index, prompt in enumerate(body["prompt"]):
            # Like vLLM's: what was computed under a name and path is never computed again
            weights = self.prefix_cache.setdefault((model, path, str(prompt)), weights)
            choices.append(
                {
                    "index": index,
                    "text": f"{weights}:{prompt}:{body['seed']}",
                    "finish_reason": "length" if len(prompt) >= body["max_tokens"] else "stop",
                    "token_ids": [*range(len(prompt))],
                }
            )
        return 200, {"choices": self.choices(choices)}


KEY = "the server's key"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections stay open, as uvicorn's do

    def do_POST(self):
        stub = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        path = self.path.removeprefix("/v1/")
        if self.headers["Authorization"] != f"Bearer {KEY}":
            self.send_error(401)
            return
        with stub.lock:
            stub.posts.append((path, body))
            stub.in_flight[path] += 1
            stub.most_in_flight |= stub.in_flight
        reply = stub.faults.get(path, lambda body: None)(body)
        with stub.lock:
            stub.in_flight[path] -= 1
            reply = reply or getattr(stub, path)(body)
            stub.most_in_flight["adapters"] = max(
                stub.most_in_flight["adapters"], len(stub.adapters)
            )
        if reply == "hang up":
            self.close_connection = True
            return
        status, answer = reply
        data = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if isinstance(answer, str) else "text/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        with suppress(ConnectionError):  # the client may have cancelled its request
            self.wfile.write(data)

    def log_message(self, *_):
        pass
