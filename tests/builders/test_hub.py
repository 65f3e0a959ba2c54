"""TinyStories from a hub: a server on this machine that speaks as much of the hub's protocol as is needed."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from trm_cli.data.stream.dataset import open_stream

Builder = Callable[..., subprocess.CompletedProcess[str]]
REPOSITORY = "someone/Stories"
COMMIT = "a" * 40
FILE = "train.jsonl"
STORIES = [
    f"Story {number}: once there was a fox that counted to {number}, and then it slept." for number in range(300)
]
CONTENT = "\n".join(json.dumps({"text": story}) for story in STORIES).encode()


class Hub(BaseHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _json(self, document: object) -> None:
        self._answer(json.dumps(document).encode(), Content_Type="application/json")

    def _entry(self) -> dict[str, object]:
        return {"type": "file", "path": FILE, "size": len(CONTENT), "oid": "b" * 40}

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        if path == f"/datasets/{REPOSITORY}/resolve/{COMMIT}/{FILE}":
            start, stop, status = 0, len(CONTENT), 200
            wanted = self.headers.get("Range")
            if wanted:
                first, last = wanted.removeprefix("bytes=").split("-")
                start, stop, status = int(first), min(int(last or stop) + 1, len(CONTENT)), 206
            extra = {"Content_Range": f"bytes {start}-{stop - 1}/{len(CONTENT)}"} if status == 206 else {}
            self._answer(CONTENT[start:stop], status, ETag='"b"', X_Repo_Commit=COMMIT, Accept_Ranges="bytes", **extra)
        elif path.startswith(f"/api/datasets/{REPOSITORY}/tree/{COMMIT}"):
            self._json([self._entry()])
        elif path.startswith(f"/api/datasets/{REPOSITORY}"):
            self._json({"id": REPOSITORY, "sha": COMMIT, "siblings": [{"rfilename": FILE}], "tags": []})
        else:
            self._answer(b"", 404, X_Error_Code="EntryNotFound" if "resolve" in path else "RepoNotFound")

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        self._json([self._entry()] if FILE in asked else [])


@pytest.fixture
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_stories_come_from_the_hub(build: Builder, hub: str, tmp_path: Path) -> None:
    online = {"HF_ENDPOINT": hub, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "hf")}
    flags = ("--sources", "tinystories", "--hub-dataset", REPOSITORY, "--test-share", "0.2", "--limit", "120")
    root = tmp_path / "d"
    done = build("--output-dir", root, *flags, **online)
    assert done.returncode == 0, done.stderr
    assert f"hub:{REPOSITORY}@{COMMIT}, " in done.stderr and "SAMPLE" not in done.stderr
    found = set()
    for split in ("train", "test"):
        shard = open_stream(root, split, 30).store.shard(0)
        found |= {payload.decode() for payload in shard.payloads(np.arange(len(shard)))}
    assert found == set(STORIES[:120])
    assert not list(root.rglob("source_*")), "what was downloaded is kept only while the build is unfinished"
    unknown = build("--output-dir", tmp_path / "e", *flags[:3], "someone/Else", *flags[4:], **online)
    assert unknown.returncode == 3 and "someone/Else" in unknown.stderr and "Traceback" not in unknown.stderr


@pytest.mark.slow
def test_a_build_continues_without_the_hub(build: Builder, hub: str, tmp_path: Path) -> None:
    """What was read is kept until the build is complete: a hub that is gone, or has changed, changes nothing."""
    online = {"HF_ENDPOINT": hub, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "hf")}
    flags = ("--sources", "tinystories", "--hub-dataset", REPOSITORY, "--test-share", "0.2", "--limit", "120")
    root = tmp_path / "d"
    assert build("--output-dir", root, *flags, "--shard", "0/2", **online).returncode == 0
    assert list(root.rglob("source_0.jsonl"))
    continued = build("--output-dir", root, *flags)
    assert continued.returncode == 0, continued.stderr
    assert f"@{COMMIT}" in (root / "manifest.json").read_text()
