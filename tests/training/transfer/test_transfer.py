"""Weights and datasets of the original code: imported, used, exported; and refused with the reason."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from tests.support import reference_networks as reference
from tests.support.runs import Recorder, differing
from tests.training.transfer.original_layout import (
    SEQUENCE,
    VOCABULARY,
    for_reference,
    shape_of,
    state_dict,
    write_architecture,
    write_dataset,
)
from trm_cli.config.compose import compose
from trm_cli.config.dump import dump_config
from trm_cli.errors import CheckpointError, UsageError
from trm_cli.evaluation.solving.puzzle import answers_by_step
from trm_cli.training.checkpoint.checkpoint_io import load_checkpoint
from trm_cli.training.checkpoint.exported_weights import load_exported
from trm_cli.training.hardware.machine import Machine
from trm_cli.training.run.datasets import Datasets
from trm_cli.training.run.run import Run
from trm_cli.training.run.sealed_config import Sealed, load_sealed
from trm_cli.training.run.trained_model import load_trained
from trm_cli.training.signals import StopRequest
from trm_cli.training.state.puzzle_table import TABLE
from trm_cli.training.transfer.exporting import export_weights, weights_file, write_identifiers
from trm_cli.workflows.import_weights import Imported, ImportRequest, import_weights

torch.set_num_threads(1)
CPU = torch.device("cpu")
KINDS = ("attention", "mlp_t", "hrm", "transformer")
COMPILED = "_orig_mod.model.inner."
NAMES = ("<blank>", "a", "b", "a|||t3|||0213456789", "c")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "data", NAMES)


def bring(folder: Path, state: object, kind: str = "attention", **more: object) -> Imported:
    """Save `state` and import it as a run on `folder`/data."""
    file = folder / "weights"
    torch.save(state, file)
    wanted = ImportRequest(file, folder / "run", str(write_architecture(folder, kind)), dataset=folder / "data")
    return import_weights(replace(wanted, **{"identifiers": folder / "data", **more}), lambda _: None)  # type: ignore[arg-type]


def loaded(done: Imported) -> tuple[dict[str, Any], Sealed]:
    """The checkpoint of an imported run."""
    return load_sealed(Path(done.checkpoint))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("prefix", [COMPILED, "model.inner.", ""])
def test_imported_weights_answer_as_the_reference(data: Path, tmp_path: Path, kind: str, prefix: str) -> None:
    state = state_dict(kind, len(NAMES), prefix=prefix)
    done = bring(tmp_path, state, kind)
    assert (done.table_rows, done.known_rows, done.unused_rows) == (5, 5, 0)
    model = load_trained(done.run, CPU).model
    generator = torch.Generator().manual_seed(1)
    batch = {
        "inputs": torch.randint(0, VOCABULARY, (3, SEQUENCE), generator=generator, dtype=torch.int32),
        "labels": torch.full((3, SEQUENCE), 1, dtype=torch.int32),
        "puzzle_identifiers": torch.tensor([1, 4, 3], dtype=torch.int32),
    }
    p, shape = for_reference(state), shape_of(kind)
    z = {name.removesuffix("_init"): torch.zeros(()) for name in p if name.endswith("_init")}
    rows = reference.Rows([{f"z_{name}": value for name, value in z.items()}] * 3, [0] * 3, [True] * 3, [{}] * 3)
    carry = model.initial_carry(batch)  # type: ignore[operator]
    split = [{name: value[i] for name, value in batch.items()} for i in range(3)]
    with torch.no_grad():
        for _ in range(2):
            carry, outputs = model.advance(carry, batch)  # type: ignore[operator]
            rows, _, _, expected = reference.supervise(rows, split, p, shape, None)
            for i, (logits, q_halt, _) in enumerate(expected):
                torch.testing.assert_close(outputs.logits[i].double(), logits, rtol=1e-4, atol=1e-4)
                torch.testing.assert_close(outputs.q_halt[i].double(), q_halt, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["attention", "mlp_t"])
def test_weights_of_nano_trm_answer_as_those_of_the_original(data: Path, tmp_path: Path, kind: str) -> None:
    """Its names (a Lightning checkpoint's) and its halting head of one output."""
    state = state_dict(kind, len(NAMES), prefix="")
    renamed = {"embed_tokens.embedding_weight": "input_embedding.embedding_weight"}
    renamed |= {f"{level}_init": f"z_{level}_init" for level in "HL"}
    nano = {renamed.get(name, name.replace("L_level", "lenet")): value for name, value in state.items()}
    nano |= {name: nano[name][:1] for name in ("q_head.weight", "q_head.bias")}
    (tmp_path / "one").mkdir()
    write_dataset(tmp_path / "one/data", NAMES)
    models = [
        load_trained(bring(folder, weights, kind).run, CPU).model
        for folder, weights in ((tmp_path, state), (tmp_path / "one", {"state_dict": nano, "epoch": 3}))
    ]
    batch = {
        "inputs": torch.arange(SEQUENCE).view(1, -1) % VOCABULARY,
        "labels": torch.ones(1, SEQUENCE, dtype=torch.int32),
        "puzzle_identifiers": torch.tensor([2], dtype=torch.int32),
    }
    original, ours = (one.advance(one.initial_carry(batch), batch)[1] for one in models)  # type: ignore[operator]
    assert torch.equal(original.logits, ours.logits) and torch.equal(original.q_halt, ours.q_halt)
    assert ours.q_continue.tolist() == [-5]


@pytest.mark.parametrize("kind", KINDS)
def test_import_then_export_gives_the_same_names_and_tensors(data: Path, tmp_path: Path, kind: str) -> None:
    state = state_dict(kind, len(NAMES))
    done = bring(tmp_path, state, kind)
    for averaged in (True, False):
        out = tmp_path / f"back_{averaged}"
        export_weights(*loaded(done), out, "original", averaged=averaged)
        back = torch.load(out, weights_only=True)
        assert back.keys() == state.keys()
        assert [name for name in state if differing(back[name], state[name])] == []
    export_weights(*loaded(done), tmp_path / "plain", "original", compiled=False)
    assert torch.load(tmp_path / "plain").keys() == {name.removeprefix("_orig_mod.") for name in state}


def test_the_names_of_the_rows_leave_with_them(data: Path, tmp_path: Path) -> None:
    done = bring(tmp_path, state_dict("attention", len(NAMES)))
    assert write_identifiers(*loaded(done), tmp_path / "names.json") == len(NAMES)
    assert json.loads((tmp_path / "names.json").read_text()) == list(NAMES)
    (data / "identifiers.json").write_text(json.dumps(NAMES[:2]))
    with pytest.raises(CheckpointError, match=r"has 5 rows, .* names 2 identifiers"):
        write_identifiers(*loaded(done), tmp_path / "names.json")


def test_a_network_that_computed_in_float32_keeps_its_initial_states(data: Path, tmp_path: Path) -> None:
    state = state_dict("attention", len(NAMES))
    state = {name: torch.randn(16) if name.endswith("_init") else value for name, value in state.items()}
    done = bring(tmp_path, state)
    export_weights(*loaded(done), tmp_path / "back", "original")
    back = torch.load(tmp_path / "back", weights_only=True)
    assert [name for name in state if differing(back[name], state[name])] == []


def test_what_is_no_weight_is_left_out_and_holders_are_opened(data: Path, tmp_path: Path) -> None:
    state = state_dict("attention", len(NAMES))
    extra = {
        COMPILED + "puzzle_emb.local_weights": torch.zeros(4, 12),
        COMPILED + "rotary_emb.cos_cached": torch.ones(3),
    }
    done = bring(tmp_path, {"step": 7, "model": {**state, **extra}})
    assert done.weights == len(state)


def test_rows_of_the_table_follow_their_names(data: Path, tmp_path: Path) -> None:
    old = ("<blank>", "c", "x", "a|||t3|||0213456789", "b", "a", "a|||t4|||0213456789")
    state = state_dict("attention", len(old))
    (tmp_path / "old.json").write_text(json.dumps(old))
    done = bring(tmp_path, state, identifiers=tmp_path / "old.json")
    assert (done.known_rows, done.unused_rows) == (5, 2)
    table = load_checkpoint(Path(done.checkpoint))[0]["model"][TABLE]
    expected = state[COMPILED + "puzzle_emb.weights"][[old.index(name) for name in NAMES]]
    assert torch.equal(table, expected)


def test_unknown_names_are_listed_and_begin_with_the_mean_only_when_asked(data: Path, tmp_path: Path) -> None:
    old = ("<blank>", "a", "z")
    (tmp_path / "old.json").write_text(json.dumps(old))
    state = state_dict("attention", len(old))
    with pytest.raises(CheckpointError, match=r"knows 2 of the 5 .* b, a\|\|\|t3\|\|\|0213456789, c; 2 of its tasks"):
        bring(tmp_path, state, identifiers=tmp_path / "old.json")
    assert not (tmp_path / "run").exists()
    done = bring(tmp_path, state, identifiers=tmp_path / "old.json", new_table=True)
    assert (done.known_rows, done.unused_rows) == (2, 1)
    table, old_table = load_checkpoint(Path(done.checkpoint))[0]["model"][TABLE], state[COMPILED + "puzzle_emb.weights"]
    assert torch.equal(table[:2], old_table[:2])
    torch.testing.assert_close(table[2:], old_table.mean(0).expand(3, -1))


def test_a_table_without_names_is_refused_even_where_the_numbers_agree(data: Path, tmp_path: Path) -> None:
    state = state_dict("attention", len(NAMES))
    with pytest.raises(CheckpointError, match=r"5 rows, .* 5 identifiers; which row belongs") as caught:
        bring(tmp_path, state, identifiers=None)
    assert "--new-puzzle-table" in (caught.value.hint or "")
    (tmp_path / "short.json").write_text(json.dumps(NAMES[:3]))
    with pytest.raises(CheckpointError, match=r"names 3 identifiers, .* has 5 rows"):
        bring(tmp_path, state, identifiers=tmp_path / "short.json")
    done = bring(tmp_path, state, identifiers=None, new_table=True)
    assert (done.table_rows, done.known_rows) == (5, 0)


def test_a_single_row_needs_no_names(tmp_path: Path) -> None:
    write_dataset(tmp_path / "data", ("<blank>", "only"))
    for split in ("train", "test"):
        path = tmp_path / "data" / split / "dataset.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "num_puzzle_identifiers": 1}))
        rows = tmp_path / "data" / split / "all__puzzle_identifiers.npy"
        np.save(rows, np.load(rows) * 0)
    (tmp_path / "data" / "identifiers.json").unlink()
    done = bring(tmp_path, state_dict("attention", 1), identifiers=None)
    assert (done.table_rows, done.known_rows) == (1, 1)


def test_a_file_for_another_architecture_is_explained(data: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        bring(tmp_path, state_dict("mlp_t", len(NAMES)))
    message = caught.value.message
    assert "missing in the file: L_level.layers.0.out, L_level.layers.0.qkv" in message
    assert "unknown in the file: L_level.layers.0.token_down, L_level.layers.0.token_gate_up" in message
    wide = state_dict("attention", len(NAMES))
    wide[COMPILED + "lm_head.weight"] = torch.zeros(9, 16)
    with pytest.raises(CheckpointError, match=r"lm_head is \[9, 16\] in the file and \[7, 16\] here \(vocabulary"):
        bring(tmp_path, wide)
    assert not (tmp_path / "run").exists()


def test_architectures_that_fit_are_named(tmp_path: Path) -> None:
    from trm_cli.data.files.metadata import read_metadata
    from trm_cli.training.transfer.compatibility import expected_shapes, require_compatible
    from trm_cli.training.transfer.foreign_weights import ForeignWeights

    metadata = read_metadata(write_dataset(tmp_path / "data", NAMES), "train")
    shapes = expected_shapes(compose(None, ["arch=hrm"]).config, metadata)
    weights = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    with pytest.raises(CheckpointError) as caught:
        require_compatible(
            ForeignWeights(tmp_path, weights, "auto", True), compose(None, ["arch=trm"]).config, metadata
        )
    assert caught.value.hint == "architectures that fit this file and this dataset: hrm"


class _Payload:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, ("touched",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds a list, expected a state dict"),
        ({"epoch": 3}, "epoch is no tensor"),
        ({}, "nothing is no tensor"),
        ({"lm_head.weight": torch.ones(3, dtype=torch.int64)}, "expected numbers of a floating type"),
        ({"lm_head.weight": torch.tensor([float("nan")])}, "not finite"),
        ({"lm_head.weight": torch.ones(1), "lm_head": torch.ones(1)}, "holds lm_head twice"),
    ],
    ids=lambda value: None if isinstance(value, str) else "content",
)
def test_a_file_that_holds_no_weights_is_refused(data: Path, tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        bring(tmp_path, content)


def test_code_in_a_file_is_never_run(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights").write_bytes(pickle.dumps({"lm_head.weight": _Payload()}))
    wanted = ImportRequest(tmp_path / "weights", tmp_path / "run", "trm", dataset=data)
    with pytest.raises(CheckpointError, match="refused by torch"):
        import_weights(wanted, lambda _: None)
    with pytest.raises(CheckpointError, match="does not exist"):
        import_weights(replace(wanted, file=tmp_path / "no"), lambda _: None)
    assert not (tmp_path / "touched").exists()


def test_a_run_is_not_written_over(data: Path, tmp_path: Path) -> None:
    bring(tmp_path, state_dict("attention", len(NAMES)))
    with pytest.raises(CheckpointError, match="already contains a run"):
        bring(tmp_path, state_dict("attention", len(NAMES)))


def test_safetensors_say_what_they_are_and_come_back(data: Path, tmp_path: Path) -> None:
    done = bring(tmp_path, state_dict("attention", len(NAMES)))
    raw = load_checkpoint(Path(done.checkpoint))[0]["model"]
    out = tmp_path / "weights.safetensors"
    assert export_weights(*loaded(done), out, "safetensors").weights == "ema"
    with safe_open(out, framework="pt") as file:
        about = file.metadata()
        assert set(file.keys()) == {*raw, "identifiers.owners", "identifiers.codes"}
    assert (about["weights"], about["step"]) == ("ema", "0")
    assert "hidden_size: 16" in about["config"]
    assert json.loads(about["dataset"])["metadata"]["vocab_size"] == VOCABULARY
    again = ImportRequest(
        out, tmp_path / "again", str(tmp_path / "small_attention.yaml"), dataset=data, identifiers=data
    )
    back = import_weights(again, lambda _: None)
    assert not back.original_names
    assert differing(load_checkpoint(Path(back.checkpoint))[0]["model"], raw) == []
    out.write_bytes(out.read_bytes()[:-9])
    with pytest.raises(CheckpointError, match="cannot be read"):
        import_weights(replace(again, run=tmp_path / "third"), lambda _: None)


def test_what_the_rows_stand_for_travels_with_the_weights(data: Path, tmp_path: Path) -> None:
    """Exported and published: a run that begins with them finds the rows of its puzzles."""
    state, sealed = loaded(bring(tmp_path, state_dict("attention", len(NAMES))))
    out = tmp_path / "weights.safetensors"
    state["identifiers"] = {
        "names": ["a", "b", "c"],
        "owners": torch.tensor([-1, 0, 1, 0, 2], dtype=torch.int32),
        "codes": torch.tensor([0, 0, 0, 77, 0]),
    }
    export_weights(state, sealed, out, "safetensors")
    back = load_exported(out)[0]
    assert differing(back["identifiers"], state["identifiers"]) == []
    assert back["model"].keys() == state["model"].keys()
    out.write_bytes(weights_file(state, sealed)[0])
    assert differing(load_exported(out)[0]["identifiers"], state["identifiers"]) == [], "published as exported"
    from trm_cli.training.transfer.foreign_weights import read_weights

    assert set(read_weights(out).tensors) == set(state["model"]), "and another import leaves them out"


def test_tied_weights_are_written_once(tmp_path: Path) -> None:
    from trm_cli.training.transfer.exporting import _safetensors
    from trm_cli.training.transfer.foreign_weights import _load_safetensors

    one = torch.arange(6.0).reshape(2, 3)
    (tmp_path / "x.safetensors").write_bytes(_safetensors({"a": one, "b": one, "c": one + 1}, {"format": "pt"}))
    with safe_open(tmp_path / "x.safetensors", framework="pt") as file:
        assert set(file.keys()) == {"a", "c"}
        assert json.loads(file.metadata()["tied"]) == {"b": "a"}
    back: dict[str, Tensor] = _load_safetensors(tmp_path / "x.safetensors")
    assert differing(back["b"], one) == []


def _train(data: Path, run: Path, *words: str) -> tuple[Run, Recorder]:
    small = ["global_batch_size=4", "epochs=4", "eval_interval=2", "threads=1", "device=cpu", "wandb=disabled"]
    resolved = compose(None, [f"data_paths=[{data}]", f"checkpoint_path={run}", *small, *words])
    datasets, recorder = Datasets.open(resolved.config), Recorder()
    machine = Machine.choose(resolved.config, SEQUENCE)
    prepared = Run.prepare(resolved.config, dump_config(resolved), datasets, machine, recorder.note)
    with StopRequest() as stop:
        prepared.train(recorder, stop)
    return prepared, recorder


def test_an_imported_run_is_solved_with_and_trained_further(data: Path, tmp_path: Path) -> None:
    done = bring(tmp_path, state_dict("attention", len(NAMES)))
    tokens = np.ones((1, SEQUENCE), np.int32)
    assert len(list(answers_by_step(load_trained(done.run, CPU).model, tokens, np.array([2]), CPU))) == 3
    words = [f"arch={tmp_path / 'small_attention.yaml'}", f"load_checkpoint={tmp_path / 'run' / 'latest.pt'}"]
    # Other settings of the optimizer than the imported run's are the new run's own.
    prepared, recorder = _train(data, tmp_path / "tuned", *words, "weight_decay=0.5", "lr=1e-9", "beta1=0.8")
    assert recorder.steps[-1] == prepared.plan.total_steps
    [group] = prepared.state.trunk_optimizer.param_groups
    assert (group["weight_decay"], group["betas"]) == (0.5, (0.8, 0.95))
    before = load_checkpoint(Path(done.checkpoint))[0]["model"]["lm_head"]
    torch.testing.assert_close(prepared.state.model.state_dict()["lm_head"], before, rtol=1e-3, atol=1e-5)


def test_a_dataset_of_the_original_builders_trains_and_evaluates(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data", (*NAMES, "d"), test=7)
    assert sorted(path.name for path in data.iterdir()) == ["identifiers.json", "test", "train"]
    prepared, recorder = _train(data, tmp_path / "run", f"arch={write_architecture(tmp_path, 'attention')}")
    # 3 groups of 2 examples a puzzle: 6 samples, 1 batch of 4 an epoch.
    assert prepared.plan.total_steps == 4
    assert [result.count for _, result in recorder.evaluations] == [7, 7]
    assert prepared.datasets.train.metadata.num_puzzle_identifiers == 6


@pytest.mark.parametrize(
    ("recipe", "settings"),
    [
        ("vision-unified", []),
        ("maze-small", []),
        ("sudoku-4x4", ["arch.pre_norm=true"]),
        ("sudoku-4x4", ["arch.gate_norm=true"]),
        ("sudoku-4x4", ["arch.mlp_t=false", "arch.pos_encodings=rope_2d"]),
    ],
)
def test_a_network_that_the_original_code_has_not_has_no_original_layout(recipe: str, settings: list[str]) -> None:
    from trm_cli.training.transfer.exporting import original_layout

    with pytest.raises(UsageError, match="the original code has no network like"):
        original_layout({}, compose(recipe, settings).config, compiled=True)
    assert original_layout({}, compose("sudoku-4x4").config, compiled=True) == {}
