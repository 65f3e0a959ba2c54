"""Output of every command survives what lies under it: any width, any encoding, a full disk, brackets and escapes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.boards import write_boards
from tests.support.commands import trm, trm_here
from tests.support.runs import train
from tests.support.selection import slow_but
from tests.support.streams import environment
from trm_cli.config.registry import SHIPPED

FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
LIST = ("configs", "list")


def _redirected(cwd: Path, redirection: str, *words: str, **extra: str) -> subprocess.CompletedProcess[str]:
    command = ["sh", "-c", f'"$@" {redirection}', "sh", sys.executable, "-m", "trm_cli", *words]
    return subprocess.run(command, cwd=cwd, env=environment(**extra), capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("columns", ["0", "-1", "1", "20", "x", "99999999999"])
def test_any_width_shows_the_same_words(columns: str, tmp_path: Path) -> None:
    shown = trm(*LIST, cwd=tmp_path, COLUMNS=columns)
    assert shown.returncode == 0
    assert "TRM on" in shown.stdout


@FULL
@pytest.mark.parametrize("words", [LIST, ("--help",), ("--version",), ("configs", "keys", "--json")])
@pytest.mark.parametrize("unbuffered", slow_but(["", "1"], ""))
def test_a_full_disk_under_stdout_is_one_line(words: tuple[str, ...], unbuffered: str, tmp_path: Path) -> None:
    done = _redirected(tmp_path, ">/dev/full", *words, PYTHONUNBUFFERED=unbuffered)
    assert (done.returncode, done.stderr) == (1, "error: stdout cannot be written: No space left on device\n")


@FULL
def test_a_full_disk_under_stderr_changes_no_exit_code(tmp_path: Path) -> None:
    assert _redirected(tmp_path, "2>/dev/full", "no-such-command").returncode == 2


@pytest.mark.parametrize("closed", slow_but([">&-", "2>&-", ">&- 2>&-"], ">&-", "2>&-"))
def test_closed_streams_change_no_exit_code(closed: str, tmp_path: Path) -> None:
    assert _redirected(tmp_path, closed, *LIST).returncode == 0
    assert _redirected(tmp_path, closed, "no-such-command").returncode == 2


def test_a_reader_that_leaves_ends_it_in_silence(tmp_path: Path) -> None:
    done = _redirected(tmp_path, "| head -1; echo end", "configs", "keys", "--json")
    assert (done.stdout, done.stderr) == ("{\nend\n", "")


@pytest.mark.parametrize("encoding", slow_but(["cp1252", "ascii"], "ascii"))
def test_characters_that_an_encoding_lacks_are_replaced(encoding: str, tmp_path: Path) -> None:
    write_boards(tmp_path / "dät\N{SNOWMAN}")
    for words in (["inspect-dataset", "dät\N{SNOWMAN}"], ["inspect-schedule", "sudoku-4x4"], ["--help"]):
        done = subprocess.run(
            [sys.executable, "-m", "trm_cli", *words],
            cwd=tmp_path,
            env=environment(PYTHONIOENCODING=encoding),
            capture_output=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("lost", [False, pytest.param(True, marks=FULL)])
def test_an_evaluation_is_kept_and_shown_whatever_lies_under_it(lost: bool, tmp_path: Path) -> None:
    """In ASCII, in the C locale, in no columns; on a full disk under stdout its result is kept all the same."""
    environment_of_old = {"PYTHONIOENCODING": "ascii", "LANG": "C", "LC_ALL": "C", "COLUMNS": "0"}
    train(write_boards(tmp_path / "d\xe4t\N{SNOWMAN}", test=8), tmp_path / "run", stop_at_step=10)
    words = ("evaluate", "run", "--out", "out")
    done = _redirected(tmp_path, ">/dev/full" if lost else "", *words, **environment_of_old)
    if lost:
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1] == "error: stdout cannot be written: No space left on device"
    else:
        assert done.returncode == 0, done.stderr
        assert re.search(r"exact +\d", done.stdout)
        assert "d?t?" in done.stdout.replace("\n", "")
    assert "Traceback" not in done.stderr
    assert len(list((tmp_path / "out").rglob("result.json"))) == 1


def test_square_brackets_are_text(tmp_path: Path) -> None:
    for name in ("x[/b]", "[v2]", "[bold]y"):
        path = tmp_path / name
        write_boards(path)
        shown = trm_here("inspect-dataset", str(path), cwd=tmp_path)
        assert shown.returncode == 0
        assert name in shown.stdout.replace("\n", "")
        missing = trm_here("checkpoints", "list", f"{path}/run", cwd=tmp_path)
        assert missing.returncode == 4
        assert name in missing.stderr


def test_no_control_character_of_a_text_reaches_the_terminal(tmp_path: Path) -> None:
    """An escape sequence in a title, in a manifest's or a file's name: shown without what makes it one."""
    data = write_boards(tmp_path / "data\x1b[31m")
    model = tmp_path / "configs/models/evil.yaml"
    model.parent.mkdir(parents=True)
    shipped = (SHIPPED / "models/sudoku-4x4.yaml").read_text()
    title = 'title: "a \\e]0;owned\\a \\e[31mred \\x9b2J \\u202Ereversed"'
    model.write_text(re.sub("^title: .*$", lambda _: title, shipped, flags=re.MULTILINE))
    facts = data / "train" / "dataset.json"
    document = json.loads(facts.read_text())
    facts.write_text(json.dumps({**document, "kind": "a \x1b[31mkind\x9b", "sets": ["all"]}))
    for words in (
        ["configs", "show", "evil"],
        ["configs", "list"],
        ["inspect-dataset", str(data)],
        ["train", "\x1b[31mx.yaml"],
        ["train", "--bad\u202e\x1b[31mflag"],
        ["evaluate", "a run", "one\u202e\x1b[31mtoo many"],
    ):
        shown = trm_here(*words, cwd=tmp_path)
        for text in (shown.stdout, shown.stderr):
            assert not set(text) & set("\x1b\a\x9b\u202e"), words
        assert "[31m" in shown.stdout + shown.stderr


def test_a_text_that_is_to_be_copied_keeps_its_lines(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.text import Text

    from trm_cli.console.output import print_result

    print_result({}, Text("# a comment of a job file " * 20, no_wrap=True), as_json=False)
    assert capsys.readouterr().out.count("\n") == 1
