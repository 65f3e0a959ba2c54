"""Journeys of a person through the page, in a real browser: Chromium, driven by Playwright, where both are there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.demo.test_server import started
from tests.support.commands import Process

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")]


@pytest.fixture
def server(trained: Path) -> Iterator[Process]:
    with Process("-m", "trm_cli", "demo", "run", "--port", "0", "--no-open", "--device", "cpu", cwd=trained) as process:
        yield process


@pytest.fixture
def page(browser: Any, server: Process) -> Iterator[Any]:
    """The page, loaded; nothing may be written to the console but what the browser says of a refused request."""
    made = browser.new_page(viewport={"width": 390, "height": 844})
    problems: list[str] = []
    made.on("pageerror", lambda error: problems.append(str(error)))
    made.goto(f"http://127.0.0.1:{started(server)}")
    made.wait_for_selector(".cell")
    yield made
    made.close()
    assert problems == []


def until(page: Any, condition: str) -> None:
    """Wait for a condition in JavaScript; the page's policy forbids the way in which Playwright would."""
    for _ in range(1000):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(20)
    raise AssertionError(f"{condition} stayed false; the page says {page.text_content('#said')!r}")


def solved(page: Any) -> str:
    """What is said once an answer, or a message, is there."""
    until(page, "!document.getElementById('go').disabled && document.getElementById('said').textContent")
    return str(page.text_content("#said"))


def test_an_example_is_solved_and_walked_through(page: Any) -> None:
    page.click("#example")
    page.click("#go")
    assert "solved" in solved(page)
    assert page.text_content("#step-said").startswith("step 3 of 3")
    page.click("#back")
    page.click("#back")
    page.click("#back")
    assert page.text_content("#step-said") == "the puzzle"
    page.click("#on")
    assert "sure, residual" in page.text_content("#step-said")
    page.click("#bars button:nth-child(2)")
    assert page.text_content("#step-said").startswith("step 2 of 3")


def test_a_board_is_typed_with_the_keyboard_alone(page: Any) -> None:
    page.click("#clear")
    page.focus(".cell")
    for key in ("1", "ArrowRight", "2", "ArrowDown", "4", "ArrowLeft", "3"):
        page.keyboard.press(key)
    assert page.input_value("#text") == "12..34.........."
    page.keyboard.press("Backspace")
    assert page.input_value("#text") == "12...4.........."
    page.keyboard.press("Enter")
    assert "solved" in solved(page)


def test_a_bad_board_is_told_and_the_next_one_is_solved(page: Any) -> None:
    page.fill("#text", "11..............")
    page.click("#go")
    assert "contradict" in solved(page)
    assert page.is_hidden("#steps")
    page.fill("#text", "12x")
    page.click("#go")
    until(page, "document.getElementById('said').textContent.includes('3 cells')")
    page.click("#example")
    page.click("#go")
    assert "solved" in solved(page)


def test_a_huge_paste_is_cut_and_told(page: Any) -> None:
    page.evaluate("take('1'.repeat(5_000_000))")
    page.click("#go")
    until(page, "document.getElementById('said').className === 'bad'")
    assert page.input_value("#text").count("1") <= 2**18


def test_a_double_click_asks_once(page: Any) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.url.endswith("/solve") else None)
    page.dblclick("#go")
    assert "solved" in solved(page)
    assert len(asked) == 1


def test_a_reload_in_the_middle_and_two_tabs(page: Any, browser: Any) -> None:
    page.evaluate("document.getElementById('go').click()")
    page.reload()
    page.wait_for_selector(".cell")
    other = browser.new_page()
    other.goto(page.url)
    other.wait_for_selector(".cell")
    for one in (page, other):
        one.click("#example")
        one.click("#go")
    for one in (page, other):
        assert "solved" in solved(one)
    other.close()


def test_a_file_is_dropped(page: Any) -> None:
    page.evaluate(
        """() => { const carried = new DataTransfer();
        carried.items.add(new File(["1... .... ..2. ...3"], "board.txt"));
        document.dispatchEvent(new DragEvent("drop", { dataTransfer: carried, bubbles: true, cancelable: true })); }"""
    )
    until(page, "document.getElementById('text').value.startsWith('1...')")


def test_the_training_is_shown(page: Any) -> None:
    page.click("#tab-run")
    page.wait_for_selector("#curves path")
    assert "200 of 200 updates" in page.text_content("#run-said")
    assert "lr" in page.text_content("#plan")
    page.click("#tab-solve")
    assert page.is_visible("#board")


def test_a_server_that_is_gone_is_told(page: Any, server: Process) -> None:
    server.kill()
    server.wait()
    page.click("#go")
    assert "is `trm demo` still running?" in solved(page)


@pytest.mark.parametrize("width", [320, 390, 1200])
def test_nothing_is_wider_than_the_screen(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.click("#go")
    solved(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
