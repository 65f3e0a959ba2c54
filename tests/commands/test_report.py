"""`trm report`: one page that needs nothing beside itself, from a run's own files alone."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.support.commands import trm_here
from tests.support.runs import records
from trm_cli.commands.report import report
from trm_cli.console.report.run_figures import training
from trm_cli.console.views.runs.evaluation import percent
from trm_cli.errors import CheckpointError, UsageError
from trm_cli.workflows.scores.evaluate import run_evaluation, stored_evaluation
from trm_cli.workflows.scores.evaluation_subject import EvaluationRequest
from trm_cli.workflows.scores.report import collect

ROOT = Path(__file__).resolve().parents[2]


class Page(HTMLParser):
    """The ids, the addresses and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("src", "href", "xlink:href"):
                self.addresses.append(value or "")

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of the run without evaluations of its own, whose name would be markup."""
    copy = tmp_path / "a <b> run"
    shutil.copytree(trained / "run", copy, ignore=shutil.ignore_patterns("evaluations"))
    return copy


def test_a_page_that_needs_nothing_beside_itself(run: Path) -> None:
    document, _ = run_evaluation(EvaluationRequest(run=str(run), device="cpu"))
    report(str(run))
    text = (run / "report.html").read_text()
    page = Page(text)
    assert len(page.ids) == len(set(page.ids))
    referred = {address.removeprefix("#") for address in page.addresses} | set(re.findall(r"url\(#(\w+)\)", text))
    assert referred <= set(page.ids)
    assert set(re.findall(r"https?://[\w./-]+", text)) <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "<b> run" not in text and "a <b> run" in page.words
    for part in (
        "Training",
        "Schedule",
        "exact by clues",
        "solution",
        "hidden_size: 32",
        percent(document["exact"]["value"]),
    ):
        assert part in page.words
    assert text.count("<svg") == text.count("<div class=figure tabindex=0><svg") == 4  # moved sideways on a phone
    assert ".figure { overflow-x: auto; } .figure svg { min-width: 43rem; }" in text
    report(str(run))
    assert (run / "report.html").read_text() == text  # the same run is the same page


def test_a_picture(run: Path, tmp_path: Path) -> None:
    report(str(run), tmp_path / "page.png", evaluate=10)
    assert (tmp_path / "page.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    stored = stored_evaluation(run)
    assert stored is not None and stored["count"] == 10


def test_without_an_evaluation_it_says_what_training_reported_and_loads_no_torch(run: Path) -> None:
    code = (
        "import sys; from trm_cli.workflows.scores.report import collect; from pathlib import Path;"
        "from trm_cli.console.report.summary import headlines;"
        f"record = collect(Path({str(run)!r})); assert 'torch' not in sys.modules;"
        "print([one.value for one in headlines(record)])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert percent(records(run, "eval")[-1]["exact_accuracy"]) in done.stdout
    report(str(run))
    assert "exact by clues" not in (run / "report.html").read_text()


def test_the_published_protocol_is_preferred(run: Path) -> None:
    whole, _ = run_evaluation(EvaluationRequest(run=str(run), device="cpu"))
    run_evaluation(EvaluationRequest(run=str(run), device="cpu", limit=5))
    run_evaluation(EvaluationRequest(run=str(run), device="cpu", early_halt=True))
    found = stored_evaluation(run)
    assert found is not None and found["key"] == whole["key"]


KINDS = {"judged_by": "exact_accuracy", "exact_accuracy": 0.1, "token_accuracy": 0.5, "picture_accuracy": 0.7,
         "picture_rows": 9, "text_rows": 9, "bits_per_byte": 2.5, "bits_per_token": 2.4}  # fmt: skip


@pytest.mark.parametrize(
    ("judged", "titles", "labels"),
    [
        ("exact_accuracy", ["loss", "exact accuracy, %", "text, bits per byte"], "test, puzzles"),
        ("picture_accuracy", ["loss", "exact accuracy, %", "text, bits per byte"], "test, pictures"),
        ("bits_per_byte", ["loss", "text, bits per byte"], "test"),
    ],
)
def test_the_curves_of_training_are_told_apart_by_kind(judged: str, titles: list[str], labels: str) -> None:
    from matplotlib.figure import Figure

    figure = Figure()
    step = {"kind": "train", "loss": 2.0, "exact_accuracy": None, "picture_accuracy": 0.5, "text_bits": 3.0}
    tests = [{**KINDS, "kind": "eval", "step": at, "judged_by": judged} for at in (5, 10)]
    training(figure, [*({**step, "step": at} for at in range(1, 11)), *tests])
    assert [axis.get_title(loc="left") for axis in figure.axes] == titles
    shown = [line.get_label() for axis in figure.axes for line in axis.lines]
    assert labels in shown and ("test, puzzles" in shown) == (judged == "exact_accuracy")


def test_mistakes(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"must end in \.html or \.png"):
        report(str(run), tmp_path / "page.pdf")
    plan = collect(run).plan
    (run / "plan.json").write_text(json.dumps({"quantities": []}))
    assert {**collect(run).plan, "dataset": {}} == {**plan, "dataset": {}}  # what is sealed is used
    for path in run.glob("*.pt"):
        path.unlink()
    with pytest.raises(CheckpointError, match=r"plan\.json is missing or damaged"):
        collect(run)


@pytest.mark.parametrize("change", [{"exact_accuracy": None}, {"protocol": 3}, {"dataset": []}, {"sha256": "0"}])
def test_a_result_that_was_changed_is_not_used(trained: Path, tmp_path: Path, change: dict[str, object]) -> None:
    shutil.copytree(trained / "run", tmp_path / "run", symlinks=True)
    words = ("evaluate", "run", "--data", str(trained / "data"), "--device", "cpu", "--limit", "8")
    assert trm_here(*words, cwd=tmp_path).returncode == 0
    for stored in (tmp_path / "run/evaluations").glob("*/result.json"):
        stored.write_text(json.dumps(json.loads(stored.read_text()) | change))
    with (tmp_path / "run/timings.jsonl").open("a") as timings:
        timings.write('{"step": 1, "samples_per_second": "fast", "seconds": [], "cpu_seconds": "x"}\n')
    shutil.copytree(tmp_path / "run", tmp_path / "other", symlinks=True)
    for line in (("report", "run", "--out", "page.html"), ("compare", "run", "other")):
        done = trm_here(*line, cwd=tmp_path)
        assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert "made before" not in trm_here(*words, cwd=tmp_path).stderr
