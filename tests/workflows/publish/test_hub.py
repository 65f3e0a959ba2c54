"""Push and pull through huggingface_hub, to a hub on this machine: whole, broken, forbidden, out of reach."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants

import trm_cli as trm
from tests.support.commands import trm_here
from tests.support.hub_server import TOKEN, Hub, hub_server
from trm_cli.console.views.card import model_card
from trm_cli.training import hub as fetching
from trm_cli.training.run.find_run import find_run
from trm_cli.training.run_files import WEIGHTS
from trm_cli.workflows.publish.hub import PushRequest, pull, push

#: Of httpx2, about how the hub's library calls it.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that the library talks to, a cache that is empty, and a token."""
    with hub_server() as found:
        monkeypatch.setattr(constants, "ENDPOINT", found.address)
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.partition("/{")
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{found.address}/{{{template[2]}")
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        fetching.fetch.cache_clear()
        yield found
        fetching.fetch.cache_clear()


def push_run(trained: Path, **more: Any) -> None:
    push(PushRequest(str(trained / "run"), "me/small", **more), model_card)


def test_pushed_and_pulled_it_answers_to_the_bit(
    hub: Hub, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = trm.load(trained / "run", device="cpu")
    found = model.evaluate(limit=20, out=trained / "run" / "evaluations", again=True)
    done = trm_here("checkpoints", "push", str(trained / "run"), "me/small", "--licence", "mit", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["name"] == "hf:me/small", done.stderr
    files = hub.models["me/small"]
    assert sorted(files) == ["README.md", "config.json", "evaluations.json", WEIGHTS, "plan.json"]
    assert f"| {100 * found['exact']['value']:.2f} % |" in files["README.md"].decode()
    assert str(tmp_path.parent) not in files["evaluations.json"].decode()

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HF_TOKEN")  # another user
    pulled = pull("me/small")
    assert pulled.folder == "checkpoints/small"
    puzzle = "1..............."
    expected = model.solve(puzzle, views=4).document
    for name in ("small", "checkpoints/small", "hf:me/small"):
        other = trm.load(name, device="cpu")
        assert other.solve(puzzle, views=4).document["steps"] == expected["steps"]
        assert other.trained.weights == model.trained.weights and other.step == model.step
    again = trm.load("hf:me/small").evaluate(limit=20, data=(trained / "data",))
    assert (again["exact"], again["q_halt"]) == (found["exact"], found["q_halt"])
    assert list(Path("evaluated/me--small").rglob("result.json"))
    with pytest.raises(trm.TrmError, match="there already"):
        pull("me/small")
    with pytest.raises(trm.TrmError, match="it has weights and no run"):
        find_run("small")


def test_a_run_begins_with_weights_from_the_hub(hub: Hub, trained: Path, tmp_path: Path) -> None:
    push_run(trained)
    config = trm.compose(
        "sudoku-4x4", "arch.hidden_size=32", "arch.halt_max_steps=3", "arch.L_cycles=1", "arch.L_layers=1",
        data_paths=[str(trained / "data")], init_from="hf:me/small", checkpoint_path=str(tmp_path / "run"),
        wandb="disabled", device="cpu", threads=1, epochs=1, global_batch_size=8,
    )  # fmt: skip
    result = trm.train(config, stop_at_step=1)
    assert result.step == 1


def test_a_transfer_that_breaks_off_goes_on(hub: Hub, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    push_run(trained)
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
    hub.cut = True
    with pytest.raises(trm.TrmError, match="broke off") as told:
        fetching.fetch("hf:me/small")
    assert "continues" in str(told.value)
    hub.cut = False
    assert (fetching.fetch("hf:me/small") / WEIGHTS).read_bytes() == hub.models["me/small"][WEIGHTS]


def test_other_bytes_than_were_published_are_refused(hub: Hub, trained: Path) -> None:
    push_run(trained)
    hub.wrong = True
    with pytest.raises(trm.TrmError, match="does not match its config"):
        fetching.fetch("hf:me/small")
    hub.wrong = False  # what is wrong in the cache is downloaded once more
    assert (fetching.fetch("hf:me/small") / WEIGHTS).read_bytes() == hub.models["me/small"][WEIGHTS]


def test_damage_on_this_disk_is_told(hub: Hub, trained: Path, tmp_path: Path) -> None:
    push_run(trained)
    folder = Path(pull("me/small", tmp_path / "model").folder)
    data = bytearray((folder / WEIGHTS).read_bytes())
    data[-5] ^= 1
    (folder / WEIGHTS).write_bytes(data)
    with pytest.raises(trm.TrmError, match="damaged: its SHA-256"):
        trm.load(folder)


def test_who_may_not_is_told_how(hub: Hub, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    push_run(trained, private=True)
    assert "me/small" in hub.private
    monkeypatch.setenv("HF_TOKEN", "hf_another")
    with pytest.raises(trm.TrmError, match="status 401"):
        push_run(trained)
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(trm.TrmError, match="not logged in to the hub"):
        push_run(trained)
    with pytest.raises(trm.TrmError, match="does not show it to you"):
        fetching.fetch("hf:me/small")


@pytest.mark.parametrize("name", ["hf:small", "hf:a/b/c", "hf:", "hf:../../etc", "hf:me/-x"])
def test_what_is_no_name_is_told(hub: Hub, name: str) -> None:
    with pytest.raises(trm.TrmError, match="not the name of a model on the hub"):
        trm.load(name)
    assert not hub.models


def test_out_of_reach_the_cache_serves(hub: Hub, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    push_run(trained)
    folder = fetching.fetch("hf:me/small")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    fetching.fetch.cache_clear()
    asked = len(hub.requests)
    assert fetching.fetch("hf:me/small") == folder and len(hub.requests) == asked
    with pytest.raises(trm.TrmError, match="out of reach"):
        fetching.fetch("hf:me/other")


def test_models_of_others_are_told_from_ours(hub: Hub, tmp_path: Path) -> None:
    hub.models["them/theirs"] = {"pytorch_model.bin": b"x", "step_100": b"not weights"}
    with pytest.raises(trm.TrmError, match="trm checkpoints import hf:them/theirs/FILE"):
        fetching.fetch("hf:them/theirs")
    with pytest.raises(trm.TrmError, match="no such revision"):
        fetching.fetch("hf:them/theirs@v9")
    assert fetching.fetch_file("hf:them/theirs/step_100").read_bytes() == b"not weights"
    with pytest.raises(trm.TrmError, match="no file hf:them/theirs/none"):
        fetching.fetch_file("hf:them/theirs/none")
    assert hub.address == huggingface_hub.constants.ENDPOINT
