"""A tracking server of MLflow with as much of its REST API as one run needs, which may go away in the middle."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

INFO = {"run_id": "r1", "run_uuid": "r1", "experiment_id": "1", "status": "RUNNING", "artifact_uri": "a"}
ANSWERS = {
    "experiments/get-by-name": {"experiment": {"experiment_id": "1", "name": "cmbench", "lifecycle_stage": "active"}},
    "runs/create": {"run": {"info": INFO, "data": {}}},
}
"""The others have nothing to say."""


class Server(ThreadingHTTPServer):
    """`calls` has every request; after so many batches of metrics it answers no more."""

    def __init__(self, batches: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.batches, self.calls = batches, list[str]()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        name = self.path.partition("/mlflow/")[2].partition("?")[0]
        self.server.calls.append(name)
        if name == "runs/log-batch" and json.loads(content).get("metrics"):
            self.server.batches -= 1
        if self.server.batches < 0:
            self.close_connection = True  # without an answer
            return
        answer = json.dumps(ANSWERS.get(name, {})).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def server(batches: int) -> Iterator[Server]:
    """Such a server, running."""
    running = Server(batches)
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    try:
        yield running
    finally:
        running.shutdown()
        running.server_close()
        thread.join()
