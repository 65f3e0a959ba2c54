"""A server on this machine that speaks as much of Weights & Biases' interface as `wandb sync` and a run ask for."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_LINES = {"history": "wandb-history.jsonl", "events": "wandb-events.jsonl"}


@dataclass
class Received:
    """What the server holds: for each run the last thing said of it, and the lines of its files by their numbers."""

    address: str = ""
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    lines: dict[str, dict[str, dict[int, str]]] = field(default_factory=dict)
    complete: dict[str, bool] = field(default_factory=dict)

    def history(self, run: str) -> list[dict[str, Any]]:
        """The records of a run in the order of their lines."""
        lines = self.lines[run].get(_LINES["history"], {})
        assert sorted(lines) == list(range(len(lines)))
        return [json.loads(lines[number]) for number in sorted(lines)]

    def bucket(self, run: str) -> dict[str, Any]:
        """A run as the service describes it to whoever asks."""
        said, lines = self.runs[run], self.lines[run]
        tails: dict[str, Any] = {}
        for name, file in _LINES.items():
            found = lines.get(file, {})
            tails |= {f"{name}LineCount": len(found), f"{name}Tail": json.dumps([found[max(found)]] if found else [])}
        project = {"id": "p", "name": said["project"], "entity": {"id": "e", "name": "somebody"}}
        return {
            "id": run, "name": run, "displayName": said.get("displayName"), "description": None, "sweepName": None,
            "config": said.get("config") or "{}", "summaryMetrics": said.get("summaryMetrics") or "{}",
            "tags": said.get("tags") or [], "notes": said.get("notes"), "wandbConfig": "{}", "project": project,
            "logLineCount": 0, **tails,
        }  # fmt: skip

    def answer(self, operation: str, variables: dict[str, Any]) -> dict[str, Any]:
        """The data of a GraphQL operation."""
        if operation == "RunResumeStatus":
            known = self.bucket(variables["name"]) if variables["name"] in self.runs else None
            entity = {"id": "e", "name": "somebody"}
            return {"model": {"id": "p", "name": variables["project"], "entity": entity, "bucket": known}}
        if operation == "UpsertBucket":
            run = variables["name"]
            new = run not in self.runs
            said = {name: value for name, value in variables.items() if value is not None}
            self.runs[run] = self.runs.get(run, {}) | said
            self.lines.setdefault(run, {})
            return {"upsertBucket": {"bucket": self.bucket(run), "inserted": new}}
        if operation == "CreateRunFiles":
            files = [{"name": name, "uploadUrl": f"{self.address}/upload/{name}"} for name in variables["files"]]
            return {"createRunFiles": {"runID": variables["run"], "uploadHeaders": [], "files": files}}
        if operation == "Viewer":
            return {"viewer": {"id": "v", "entity": "somebody", "username": "somebody", "flags": "{}",
                               "teams": {"edges": []}}}  # fmt: skip
        return {}

    def stream(self, run: str, document: dict[str, Any]) -> None:
        """Lines of the files of a run; those that are sent again at their place replace what was there."""
        for name, part in (document.get("files") or {}).items():
            numbered = dict(enumerate(part["content"], start=part["offset"]))
            self.lines.setdefault(run, {}).setdefault(name, {}).update(numbered)
        if "complete" in document:
            self.complete[run] = document["complete"]


@contextmanager
def wandb_server() -> Iterator[Received]:
    """Serve on a free port of the loopback device within the block."""
    received = Received()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *words: object) -> None:
            """Nothing is printed."""

        def _body(self) -> bytes:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

        def _reply(self, document: dict[str, Any]) -> None:
            content = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self) -> None:
            self._reply({})

        def do_PUT(self) -> None:
            self._body()
            self._reply({})

        def do_POST(self) -> None:
            body, reply = self._body(), {}
            if self.path == "/graphql":
                asked = json.loads(body)
                reply = {"data": received.answer(asked.get("operationName") or "", asked.get("variables") or {})}
            elif self.path.endswith("/file_stream"):
                received.stream(self.path.split("/")[-2], json.loads(body))
            self._reply(reply)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    received.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield received
    finally:
        server.shutdown()
        server.server_close()
