"""A Hugging Face hub on this machine, as far as we ask it: models are created, pushed, listed and downloaded.

Faults are set by a test: `cut` breaks every download of large files off half way, `wrong` sends another byte.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_of_the_test"


@dataclass
class Hub:
    """What the hub has. models: by OWNER/NAME, files by name. private: those that need the token."""

    port: int = 0
    models: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: set[str] = field(default_factory=set)
    uploads: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    cut: bool = False
    wrong: bool = False

    @property
    def address(self) -> str:
        """For HF_ENDPOINT."""
        return f"http://127.0.0.1:{self.port}"

    def commit(self, model: str) -> str:
        """The name of the present state of a model."""
        files = self.models[model]
        return hashlib.sha1(json.dumps([[name, hash(files[name])] for name in sorted(files)]).encode()).hexdigest()


@contextmanager
def hub_server() -> Iterator[Hub]:
    """A hub that listens until the block ends."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = self.path.partition("?")[0].strip("/")
        self.hub.requests.append(f"{self.command} {path}")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        words = path.split("/")
        if self.command == "PUT":
            self.hub.uploads[words[-1]] = body
            self._send(200)
        elif self.command == "POST":
            self._post(path, words, body)
        elif words[0] == "api":
            self._about("/".join(words[2:4]), words[4:])
        else:
            self._file("/".join(words[:2]), "/".join(words[4:]))

    def _post(self, path: str, words: list[str], body: bytes) -> None:
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._send(401, {"error": "no token"})
        elif path == "api/repos/create":
            wanted = json.loads(body)
            model = f"{wanted['organization']}/{wanted['name']}" if wanted.get("organization") else wanted["name"]
            if model in self.hub.models:
                self._send(409, {"error": "there already"})
                return
            self.hub.models[model] = {}
            if wanted.get("private") or wanted.get("visibility") == "private":
                self.hub.private.add(model)
            self._send(200, {"url": f"{self.hub.address}/{model}", "name": model})
        elif path.endswith("/objects/batch"):
            objects = [
                {**one, "actions": {"upload": {"href": f"{self.hub.address}/upload/{one['oid']}"}}}
                for one in json.loads(body)["objects"]
            ]
            self._send(200, {"transfer": "basic", "objects": objects})
        elif path == "api/validate-yaml":
            self._send(200, {"errors": [], "warnings": []})
        elif words[4] == "preupload":
            files = json.loads(body)["files"]
            modes = [
                {
                    "path": one["path"],
                    "uploadMode": "lfs" if one["path"].endswith(".safetensors") else "regular",
                    "shouldIgnore": False,
                }
                for one in files
            ]
            self._send(200, {"files": modes})
        else:
            self._commit("/".join(words[2:4]), body)

    def _commit(self, model: str, body: bytes) -> None:
        files = dict(self.hub.models[model])
        for line in body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self.hub.uploads[value["oid"]]
        self.hub.models[model] = files
        commit = self.hub.commit(model)
        self._send(200, {"commitUrl": f"{self.hub.address}/{model}/commit/{commit}", "commitOid": commit})

    def _visible(self, model: str) -> bool:
        allowed = model not in self.hub.private or self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if model in self.hub.models and allowed:
            return True
        self._send(401 if model in self.hub.models else 404, {"error": "no"}, **{"X-Error-Code": "RepoNotFound"})
        return False

    def _about(self, model: str, rest: list[str]) -> None:
        if not self._visible(model):
            return
        files = self.hub.models[model]
        if rest[:1] == ["tree"]:
            listed = [{"type": "file", "path": name, "size": len(data), "oid": "0"} for name, data in files.items()]
            self._send(200, listed)
        elif rest[:1] == ["revision"] and rest[1] not in ("main", self.hub.commit(model)):
            self._send(404, {"error": "no"}, **{"X-Error-Code": "RevisionNotFound"})
        else:
            siblings = [{"rfilename": name} for name in files]
            self._send(200, {"id": model, "sha": self.hub.commit(model), "siblings": siblings, "private": False})

    def _file(self, model: str, name: str) -> None:
        if not self._visible(model):
            return
        data = self.hub.models[model].get(name)
        if data is None:
            self._send(404, {"error": "no"}, **{"X-Error-Code": "EntryNotFound"})
            return
        headers = {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": self.hub.commit(model)}
        large = name.endswith(".safetensors")
        if self.hub.wrong and large:
            data = data[:-1] + bytes([data[-1] ^ 1])
        first = int(self.headers.get("Range", "bytes=0-")[6:].partition("-")[0])
        self.send_response(206 if first else 200)
        for key, value in {**headers, "Content-Length": str(len(data) - first)}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.hub.cut and large:
            self.wfile.write(data[first : first + (len(data) - first) // 2])
            self.close_connection = True
            return
        self.wfile.write(data[first:])

    def _send(self, status: int, document: Any = None, **headers: str) -> None:
        data = b"" if document is None else json.dumps(document).encode()
        self.send_response(status)
        for key, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
