"""More journeys through the page, with the model that comes with the program: nothing has to be trained for it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.demo.test_page import CHROMIUM, solved, until
from tests.demo.test_server import started
from tests.support.commands import Process

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")]
DEMO = ("-m", "trm_cli", "demo", "--no-open", "--device", "cpu", "--port")
SMALL = "pretrained/sudoku-4x4"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The small model that comes with the program, in a folder without a run."""
    with Process(*DEMO, "0", SMALL, cwd=tmp_path_factory.mktemp("empty")) as process:
        yield f"http://127.0.0.1:{started(process)}"


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    made = browser.new_page(viewport={"width": 900, "height": 800})
    problems: list[str] = []
    made.on("pageerror", lambda error: problems.append(str(error)))
    made.goto(address)
    made.wait_for_selector(".cell")
    yield made
    made.close()
    assert problems == []


def test_without_a_run_examples_are_there(browser: Any, tmp_path: Path) -> None:
    with Process(*DEMO, "0", cwd=tmp_path) as process:
        page = browser.new_page(viewport={"width": 420, "height": 800})
        page.goto(f"http://127.0.0.1:{started(process)}")
        until(page, "document.querySelectorAll('.cell').length === 81")
        assert "sudoku-small, architecture trm_quickstart" in page.text_content("#about")
        for _ in range(3):
            page.click("#example")
            page.click("#go")
            assert solved(page).startswith("solved")
        assert page.evaluate("document.documentElement.scrollWidth") <= 420
        page.screenshot(path=tmp_path / "nine.png", full_page=True)
        page.close()


def test_a_framed_board_is_pasted_into_a_cell(page: Any) -> None:
    page.evaluate(
        """() => { const carried = new DataTransfer();
        carried.setData("text", "1 . | . .\\n. . | . 1\\n----+----\\n. . | 3 4\\n3 . | . 2");
        document.querySelector(".cell").dispatchEvent(
          new ClipboardEvent("paste", { clipboardData: carried, bubbles: true, cancelable: true })); }"""
    )
    page.click("#go")
    assert solved(page).startswith("solved")


def test_a_task_of_another_kind_is_told(page: Any) -> None:
    page.fill("#text", '{"train": [{"input": [[1]], "output": [[2]]}], "test": [{"input": [[3]]}]}')
    page.click("#go")
    assert "cells" in solved(page) and page.get_attribute("#said", "class") == "bad"


def test_steps_are_walked_with_buttons_and_slider(page: Any) -> None:
    page.fill("#text", "1......1..343..2")
    page.click("#go")
    solved(page)
    last = page.text_content("#step-said")
    for _ in range(10):
        page.click("#back")
    assert page.text_content("#step-said") == "the puzzle"
    page.focus("#at")
    page.keyboard.press("End")
    assert page.text_content("#step-said") == last
    page.click("#bars button >> nth=0")
    assert page.text_content("#step-said").startswith("step 1 of 6")


def test_enter_held_down_asks_once(page: Any) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.url.endswith("/solve") else None)
    page.focus(".cell")
    page.evaluate(
        """() => { for (let i = 0; i < 20; i++) document.activeElement.dispatchEvent(
        new KeyboardEvent("keydown", { key: "Enter", bubbles: true, cancelable: true })); }"""
    )
    assert solved(page).startswith("solved") and len(asked) == 1


def test_what_is_no_digit_leaves_a_cell_empty(page: Any) -> None:
    page.click("#clear")
    page.focus(".cell")
    for key in ("0", "#", "9"):
        page.keyboard.press(key)
    page.click("#go")
    assert "9" in solved(page)
    page.focus(".cell")
    page.keyboard.press("Delete")
    assert page.input_value("#text") == "." * 16


def test_a_board_with_several_solutions_is_told_so(page: Any) -> None:
    page.click("#clear")
    page.click("#go")
    assert "several solutions" in solved(page)


def test_a_board_without_a_solution_ends(page: Any) -> None:
    page.fill("#text", "123........4....")
    page.fill("#views", "4")
    page.click("#go")
    assert solved(page) == "not solved in any of 4 symmetries; the puzzle has no solution"


def test_a_file_that_is_too_large_is_told(page: Any) -> None:
    page.evaluate(
        """() => { const carried = new DataTransfer();
        carried.items.add(new File([new Uint8Array(300_000)], "big.txt"));
        document.dispatchEvent(new DragEvent("drop", { dataTransfer: carried, bubbles: true, cancelable: true })); }"""
    )
    until(page, "document.getElementById('said').textContent.includes('too large')")


def test_a_strange_number_of_views_is_told(page: Any) -> None:
    page.evaluate("document.getElementById('views').value = '9999'")
    page.click("#go")
    assert "views is a number from 1 to 128" in solved(page)


def test_an_edit_forgets_the_old_answer(page: Any) -> None:
    page.click("#go")
    solved(page)
    page.focus(".cell")
    page.keyboard.press("Backspace")
    assert page.is_hidden("#steps") and page.text_content("#said") == ""


def test_the_plan_of_published_weights_is_shown(page: Any) -> None:
    page.click("#tab-run")
    until(page, "document.getElementById('plan').children.length > 0")
    assert "of 644 updates" in page.text_content("#run-said")


def test_in_the_dark_words_can_be_read(page: Any) -> None:
    page.emulate_media(color_scheme="dark")
    ink, paper = page.evaluate(
        "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
    )
    light, dark = (sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in (ink, paper))
    assert light - dark > 400


def test_a_server_that_comes_back_answers_the_open_page(browser: Any, tmp_path: Path) -> None:
    page = browser.new_page()
    with Process(*DEMO, "0", cwd=tmp_path) as first:
        port = started(first)
        page.goto(f"http://127.0.0.1:{port}")
        page.wait_for_selector(".cell")
    page.click("#go")
    assert "still running" in solved(page)
    with Process(*DEMO, str(port), cwd=tmp_path) as second:
        started(second)
        page.click("#go")
        until(page, "document.getElementById('said').textContent.startsWith('solved')")
    page.close()


def test_a_run_that_trains_is_watched(browser: Any, trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "run", tmp_path / "run", symlinks=True)
    metrics = tmp_path / "run/metrics.jsonl"
    lines = metrics.read_text().splitlines(keepends=True)
    metrics.write_text("".join(lines[: len(lines) // 2]))
    page = browser.new_page()
    with Process("-m", "trm_cli", "demo", "run", *DEMO[3:], "0", cwd=tmp_path) as process:
        page.goto(f"http://127.0.0.1:{started(process)}")
        page.wait_for_selector(".cell")
        page.click("#tab-run")
        until(page, "document.getElementById('run-said').textContent.includes('of 200 updates')")
        before = page.text_content("#run-said")
        with metrics.open("a") as file:  # as a training that goes on
            file.write("".join(lines[len(lines) // 2 :]) + '{"kind": "tra')
        until(page, "document.getElementById('run-said').textContent.startsWith('200 of 200')")
        assert not before.startswith("200")
    page.close()


def _answers_after(page: Any) -> float:
    """Milliseconds from a click on Solve to the first answer that is shown, by the clock of the page."""
    page.click("#example")
    page.evaluate(
        """() => { window.after = null; const steps = document.getElementById("steps"), clicked = performance.now();
        const watch = new MutationObserver(() => { if (!steps.hidden) {
          window.after = performance.now() - clicked; watch.disconnect(); } });
        watch.observe(steps, { attributes: true, childList: true, subtree: true });
        document.getElementById("go").click(); }"""
    )
    until(page, "window.after !== null")
    return float(page.evaluate("window.after"))


def test_an_answer_is_there_within_300_milliseconds(page: Any) -> None:
    times = sorted(_answers_after(page) for _ in range(7))
    assert times[3] < 300, times


def test_solved_by_onnxruntime(browser: Any, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    with Process(*DEMO, "0", "--backend", "onnx", cwd=tmp_path) as process:
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{started(process)}")
        page.wait_for_selector(".cell")
        page.click("#example")
        page.click("#go")
        assert solved(page).startswith("solved") and page.text_content("#step-said").startswith("step ")
        page.close()


def fulfil(answer: object, route: Any) -> None:
    route.fulfill(json=answer)


def of_another_kind(browser: Any, address: str, kind: str, **answers: object) -> Any:
    """The page of a made-up model of a kind, whose answers are given."""
    about = {"kind": kind, "run": "checkpoints/made-up", "model": "made-up", "architecture": "trm", "step": 5}
    about |= {"parameters": 10, "device": "cpu", "steps": 2, "examples": answers.pop("examples", [])}
    made = browser.new_page()
    for path, answer in {"about": about | ({"side": 3} if kind == "maze" else {}), **answers}.items():
        made.route(f"**/{path}", partial(fulfil, answer))
    made.goto(address)
    until(made, "document.getElementById('about').textContent.startsWith('made-up')")
    return made


def test_an_arc_task_is_shown_with_its_demonstrations_and_an_empty_answer(browser: Any, address: str) -> None:
    task = '{"train": [{"input": [[1, 2]], "output": [[2]]}], "test": [{"input": [[3]]}, {"input": [[4]]}]}'
    step = {"step": 1, "answer": [], "q_halt": 0.25}
    tests = [
        {"input": [[3]], "attempts": [{"output": [], "votes": 1}], "solved": False, "steps": [step]},
        {"input": [[4]], "attempts": [{"output": [[5]], "votes": 2}], "solved": None, "steps": [step]},
    ]
    page = of_another_kind(browser, address, "arc", examples=[task], solve={"tests": tests, "solved": False})
    assert "demonstration 1" in page.text_content("#grids")
    page.click("#go")
    assert solved(page) == "0 of 1 known output right"
    shown = page.text_content("#grids")
    assert all(words in shown for words in ("test input 1: not right", "empty", "1 vote", "2 votes", "demonstration 1"))
    page.fill("#text", "")
    page.click("#go")
    assert "there is no task yet" in solved(page)
    page.close()


def test_a_maze_is_drawn_where_spaces_are_free_cells_and_rows_end_early(browser: Any, address: str) -> None:
    page = of_another_kind(browser, address, "maze", examples=["S...#...G"])
    assert page.input_value("#text") == "S..\n.#.\n..G" and "click" in page.text_content("#board-help")
    page.fill("#text", "S #\n\n #G")
    walls = "[...document.querySelectorAll('.cell')].map(cell => cell.classList.contains('wall') ? 1 : 0).join('')"
    assert page.evaluate(walls) == "001000010"
    page.click(".cell >> nth=3")
    assert page.input_value("#text") == "S.#\n#..\n.#G"
    page.close()


def test_a_published_model_has_no_curves_and_a_text_run_no_accuracy(page: Any, browser: Any, address: str) -> None:
    page.click("#tab-run")
    until(page, "document.getElementById('run-said').textContent !== ''")
    assert page.text_content("#run-said") == "644 of 644 updates; the curves of this training are not here"
    assert page.is_hidden("#curves")
    training = {"plan": None, "loss": [[1, 5.0], [5, 4.0]], "exact": [], "bits": [[5, 1.5]], "step": 5}
    text = of_another_kind(browser, address, "text", training=training, write={"text": " there was", "ended": False})
    text.click("#write-go")
    until(text, "document.getElementById('written-said').textContent !== ''")
    assert text.text_content("#written") == "Once upon a time there was" and "cut" in text.text_content("#written-said")
    text.click("#tab-run")
    until(text, "document.querySelectorAll('#curves path').length === 1")
    assert "1.50 bits a byte" in text.text_content("#run-said") and "accuracy" not in text.text_content("#curves")
    text.close()
