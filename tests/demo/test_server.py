"""The page's server over real HTTP: answers, mistakes, floods, and who may ask."""

from __future__ import annotations

import http.client
import json
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import Process, trm_here
from trm_cli.demo.server import MOST_BYTES

JSON = {"Content-Type": "application/json"}


def started(process: Process) -> int:
    """The port of a server, once it listens."""
    while process.poll() is None and not (found := re.search(r"http://127\.0\.0\.1:(\d+)", process.errors())):
        time.sleep(0.01)
    assert process.poll() is None, process.errors()
    return int(found[1])  # type: ignore[index]


@pytest.fixture(scope="module")
def port(trained: Path) -> Iterator[int]:
    with Process("-m", "trm_cli", "demo", "run", "--port", "0", "--no-open", "--device", "cpu", cwd=trained) as process:
        yield started(process)


def ask(port: int, path: str, body: Any = None, **headers: str) -> tuple[int, str, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    sent = {**({} if body is None else JSON), **{name.replace("_", "-"): value for name, value in headers.items()}}
    connection.request("GET" if body is None else "POST", path, data, sent)
    reply = connection.getresponse()
    found = reply.status, reply.read().decode(), reply.headers
    connection.close()
    return found


def test_the_page_needs_no_other_host(port: int) -> None:
    status, page, headers = ask(port, "/")
    assert status == 200 and "<title>trm demo</title>" in page
    assert not re.search(r"(?:src|href)=", page) and "://" not in page
    assert "default-src 'none'" in headers["Content-Security-Policy"]


def test_what_the_page_knows_of_the_run(port: int, trained: Path) -> None:
    about = json.loads(ask(port, "/about")[1])
    assert (about["kind"], about["side"], about["box"], about["steps"]) == ("sudoku", 4, [2, 2], 3)
    assert all(len(puzzle) == 16 for puzzle in about["examples"]) and len(about["examples"]) > 3
    training = json.loads(ask(port, "/training")[1])
    assert training["plan"]["total_steps"] == training["step"] == 200
    assert len(training["loss"]) <= 400 and len(training["exact"]) == 2


def test_an_answer_is_that_of_the_command(port: int, trained: Path) -> None:
    (puzzle, *_) = json.loads(ask(port, "/about")[1])["examples"]
    status, text, _ = ask(port, "/solve", {"puzzle": puzzle, "views": 4})
    shown = json.loads(trm_here("solve", "run", puzzle, "--views", "4", "--json", cwd=trained).stdout)
    found = json.loads(text)
    assert status == 200
    assert all(found[name] == shown[name] for name in ("answer", "solved", "views", "puzzle"))
    assert [step["answer"] for step in found["steps"]] == [step["answer"] for step in shown["steps"]]
    assert all(step["residual"] > 0 for step in found["steps"])


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"puzzle": "12"}, 422, "this puzzle has 2 cells"),
        ({"puzzle": "11.............."}, 422, "the clues contradict each other"),
        ({"puzzle": 7}, 422, "a request has a puzzle, as text"),
        ({}, 422, "a request has a puzzle, as text"),
        ({"puzzle": "1" * 16, "views": 10**9}, 422, "views is a number from 1 to 128"),
        ({"puzzle": "1" * 16, "views": True}, 422, "views is a number from 1 to 128"),
        ({"puzzle": "checkpoints/run/config.yaml"}, 422, "cells"),
        ([1, 2], 400, "a JSON object"),
        (b"{", 400, "a request is JSON"),
        (b"[" * 100_000, 400, "a request is JSON"),
        (b"\xff\xfe", 400, "a request is JSON"),
        (b" " * (MOST_BYTES + 1), 413, "at most 256 KiB"),
    ],
)
def test_a_request_that_cannot_be_answered_is_told_why(port: int, body: Any, status: int, said: str) -> None:
    found, text, _ = ask(port, "/solve", body)
    assert found == status and said in json.loads(text)["error"]


def test_other_pages_and_other_names_are_refused(port: int) -> None:
    assert ask(port, "/about", Host="evil.example")[0] == 400
    assert ask(port, "/solve", b'{"puzzle": ""}', Content_Type="text/plain")[0] == 415
    assert ask(port, "/../../etc/passwd")[0] == 404 and ask(port, "/solve")[0] == 405
    assert "Access-Control-Allow-Origin" not in ask(port, "/about", Origin="http://evil.example")[2]


def test_a_flood_is_answered_or_told_to_wait(port: int) -> None:
    answers: list[int] = []
    body = {"puzzle": "." * 16, "views": 8}
    threads = [threading.Thread(target=lambda: answers.append(ask(port, "/solve", body)[0])) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(answers) <= {200, 503} and len(answers) == 24 and answers.count(200) >= 8
    assert ask(port, "/about")[0] == 200


def test_text_is_not_written_by_a_network_that_solves(port: int) -> None:
    status, text, _ = ask(port, "/write", {"prompt": "Once"})
    assert status == 422 and json.loads(text)["error"]


def test_a_busy_port_and_a_missing_run_are_told(port: int, trained: Path) -> None:
    busy = trm_here("demo", "run", "--port", str(port), "--no-open", cwd=trained)
    assert busy.returncode == 1 and f"cannot listen on 127.0.0.1 port {port}" in busy.stderr
    assert trm_here("demo", "nothing", "--no-open", cwd=trained).returncode == 4
