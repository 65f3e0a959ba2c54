"""`trm solve` for mazes, ARC tasks and files of many puzzles: reading, checking, voting, messages."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dataset_builders import arc as arc_builder
from tests.support.boards import boards, write_boards
from trm_cli.app import main
from trm_cli.data.arc import encoding, transforms
from trm_cli.data.arc.identifiers import ArcIdentifiers, read_identifiers
from trm_cli.data.arc.task import encode, find_task, parse_arc_task
from trm_cli.data.files.metadata import DatasetMetadata
from trm_cli.data.puzzles.families import Maze, Sudoku, TextFamily
from trm_cli.data.puzzles.kinds import ARC, kind_of
from trm_cli.data.puzzles.maze_text import maze_line, parse_maze
from trm_cli.data.puzzles.views import views_of
from trm_cli.errors import UsageError
from trm_cli.evaluation.solving.arc import solve_task, variants_of
from trm_cli.evaluation.solving.lines import Answer, read_lines, solve_lines
from trm_cli.evaluation.solving.puzzle import answers_by_step

torch.set_num_threads(1)
CPU = torch.device("cpu")
MAZE = "S.##\n#..#\n.#..\n.##G"


# --- Mazes ---


def test_a_maze_is_read_with_spaces_dots_and_cut_off_rows() -> None:
    assert parse_maze(MAZE, 16) == parse_maze("S ##\n#  #\n #\n ##G\n", 16) == parse_maze(MAZE.replace("\n", ""), 16)
    assert maze_line(parse_maze(MAZE, 16)) == MAZE.replace("\n", "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("S..G", "4 cells, the run was trained on 4x4 mazes"),
        ("S.##\n#..#\n.#..", "3 rows of up to 4 cells"),
        (MAZE.replace("S", "x"), "'x' in row 1 is not a cell"),
        (MAZE.replace("S", "o"), "'o' in row 1 is not a cell"),
        (MAZE.replace("S", "."), "one start S, this one has 0"),
        (MAZE.replace("S", "G"), "one start S, this one has 0"),
        (MAZE.replace(".", "G", 1), "one goal G, this one has 2"),
    ],
)
def test_a_maze_that_cannot_be_read(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_maze(text, 16)


@pytest.mark.parametrize(
    ("answer", "solved", "reason"),
    [
        ("So## #o.# #o## #ooG", True, "a shortest way, 6 steps"),
        ("So#. #o.# #o## #ooG", False, "changes 1 cells of the maze"),
        ("So## #o.# #.## #ooG", False, "do not lead"),
        ("So## #oo# #o## #ooG", False, "1 marked cells lie beside"),
        ("oo## #o.# #o## #ooG", False, "changes 1 cells of the maze"),
    ],
)
def test_an_answer_is_checked_cell_by_cell(answer: str, solved: bool, reason: str) -> None:
    puzzle = parse_maze("S.##\n#..#\n#.##\n#..G", 16)
    tokens = ["?#.SGo".index(character) for character in answer.replace(" ", "")]
    check = Maze(16).judge(puzzle, tokens)
    assert reason in check.reason
    assert check.solved is solved


def test_a_longer_way_is_no_solution() -> None:
    puzzle = parse_maze("S.G......", 9)
    around = [3, 2, 4, 5, 5, 5, 2, 2, 2]
    assert Maze(9).judge(puzzle, around).reason == "the way takes 4 steps, the shortest 2"


def _metadata(**values: Any) -> DatasetMetadata:
    fixed: dict[str, Any] = {"pad_id": 0, "ignore_label_id": 0, "blank_identifier_id": 0, "total_groups": 1}
    return DatasetMetadata(**fixed, num_puzzle_identifiers=1, mean_puzzle_examples=1.0, total_puzzles=1, **values)


def test_original_datasets_are_told_apart_by_their_sizes() -> None:
    def typed(**values: Any) -> TextFamily | None:
        metadata = _metadata(**values)
        return kind_of(metadata).typed(metadata)

    assert typed(vocab_size=11, seq_len=81) == Sudoku((3, 3), 81)
    assert typed(vocab_size=6, seq_len=900) == Maze(900)
    assert kind_of(_metadata(vocab_size=12, seq_len=900)) is ARC
    assert typed(vocab_size=6, seq_len=16) == Sudoku((2, 2), 16)
    assert typed(vocab_size=6, seq_len=16, kind="maze") == Maze(16)
    assert typed(vocab_size=300, seq_len=900, kind="text") is None


# --- Models that are functions ---


class Oracle(torch.nn.Module):
    """Answers with `function` of (tokens, identifier) from step `late` on, before with the question itself."""

    halt_max_steps = 2
    seq_len = 900

    def __init__(self, function: Any, late: int = 2) -> None:
        super().__init__()
        self.function, self.late, self.steps = function, late, 0

    def initial_carry(self, batch: dict[str, Tensor]) -> Any:
        from trm_cli.models.supervision.carry import empty_carry

        return empty_carry(batch, {})

    def advance(self, carry: Any, batch: dict[str, Tensor]) -> Any:
        done = torch.where(carry.halted, 0, carry.steps) + 1
        rows = zip(batch["inputs"], batch["puzzle_identifiers"], done, strict=True)
        answers = [self.function(x.numpy(), int(i)) if step >= self.late else x.numpy() for x, i, step in rows]
        outputs = SimpleNamespace(answers=torch.tensor(np.array(answers)), q_halt=torch.full((len(answers),), 1.0))
        return replace(carry, steps=done, halted=done >= self.halt_max_steps), outputs

    def answer(self, outputs: Any) -> Tensor:
        return outputs.answers


def test_steps_beyond_the_training_go_on_instead_of_starting_again() -> None:
    oracle = Oracle(lambda x, _: x + 1, late=4)
    rows = answers_by_step(oracle, np.array([[1, 1]]), np.array([0]), CPU, steps=5)
    assert [one.answers[0, 0] for one in rows] == [1, 1, 1, 2, 2]


def test_lines_become_answers_in_order_and_problems_keep_their_numbers() -> None:
    puzzles, solutions = boards(5, seed=1)
    known = {tuple(p): s for p, s in zip(puzzles.tolist(), solutions.tolist(), strict=True)}
    wrong = tuple(puzzles[3].tolist())
    oracle = Oracle(lambda x, _: [2] * 16 if tuple(x.tolist()) == wrong else known[tuple(x.tolist())])
    family = Sudoku((2, 2), 16)
    texts = [family.line(puzzle) for puzzle in puzzles.tolist()]
    lines = read_lines([texts[0], "", "12x", texts[1], texts[2], "9" * 16, texts[3], texts[4]], family)
    assert [line.number for line in lines] == [1, 3, 4, 5, 6, 7, 8]
    views = views_of(_metadata(vocab_size=6, seq_len=16))
    batches = solve_lines(oracle, lines, family, CPU, steps=None, batch_size=3, views=views, most=1)
    done = [one for batch in batches for one in batch]
    shown = [(one.line.number, one.solved) if isinstance(one, Answer) else (one.number, None) for one in done]
    assert shown == [(1, True), (3, None), (4, True), (5, True), (6, None), (7, False), (8, True)]
    assert "this puzzle has 3 cells" in lines[1].problem
    assert "not a cell of a 4x4 Sudoku" in lines[4].problem


# --- ARC ---

TASKS = {
    "mirror": lambda grid: grid[:, ::-1],
    "recolour": lambda grid: np.where(grid == 3, 5, grid),
    "crop": lambda grid: grid[: max(1, len(grid) // 2)],
}


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three tasks whose rule is known, in the layout of the published files."""
    random = np.random.default_rng(0)
    challenges, solutions = {}, {}
    for name, rule in TASKS.items():
        grids = [random.integers(0, 10, (random.integers(2, 6), random.integers(3, 7))) for _ in range(4)]
        pairs = [{"input": grid.tolist(), "output": np.asarray(rule(grid)).tolist()} for grid in grids]
        challenges[name] = {"train": pairs[:3], "test": [{"input": pairs[3]["input"]}]}
        solutions[name] = [pairs[3]["output"]]
    folder = tmp_path_factory.mktemp("tasks")
    (folder / "arc_evaluation_challenges.json").write_text(json.dumps(challenges))
    (folder / "arc_evaluation_solutions.json").write_text(json.dumps(solutions))
    flags = ["--source", str(folder), "--subsets", "evaluation", "--test-set-name", "evaluation", "--num-aug", "12"]
    for form, more in (("drawn", []), ("written", ["--materialize"])):
        assert arc_builder.main([*flags, "--output-dir", str(folder / form), "--workers", "1", *more]) == 0
    for name in TASKS:
        whole = {**challenges[name]}
        whole["test"] = [{**whole["test"][0], "output": solutions[name][0]}]
        (folder / f"{name}.json").write_text(json.dumps(whole))
    return folder


def _augmented_rule(name: str, identifiers: ArcIdentifiers, rng: np.random.Generator) -> Any:
    """What a perfect model says about an augmented row; every third time it says nonsense."""

    def answer(tokens: np.ndarray, identifier: int) -> np.ndarray:
        _, symmetries, permutations = identifiers.transforms(np.array([identifier]))
        cells, sides = transforms.invert_predictions(tokens[None].astype(np.uint8), symmetries, permutations)
        [grid] = encoding.iterate_grids(cells, sides)
        answer = np.asarray(TASKS[name](grid)).astype(np.uint8)
        if rng.random() < 1 / 3:
            answer = (answer + rng.integers(1, 9)) % 10
        augmentation = transforms.Transform(int(symmetries[0]), tuple(map(int, permutations[0])))
        return encode([np.ascontiguousarray(transforms.augment_grid(answer.astype(np.uint8), augmentation))])[0].astype(
            int
        )

    return answer


@pytest.mark.parametrize("form", ["drawn", "written"])
@pytest.mark.parametrize("name", TASKS)
def test_a_task_is_known_by_its_demonstrations_and_the_vote_finds_its_answer(tasks: Path, form: str, name: str) -> None:
    identifiers = read_identifiers(tasks / form)
    task = parse_arc_task((tasks / f"{name}.json").read_text())
    assert find_task(task, tasks / form, identifiers) == name
    variants = variants_of(name, identifiers, None)
    assert len(variants) == 13
    assert identifiers.name(int(variants[0])) == name
    oracle = Oracle(_augmented_rule(name, identifiers, np.random.default_rng(1)))
    done: list[int] = []
    [answer] = solve_task(oracle, identifiers, task, variants, CPU, steps=None, batch_size=5, progress=done.append)
    assert answer.right(1) is True
    assert answer.candidates[0].votes >= 6
    assert sum(one.votes for one in answer.candidates) == sum(done) == 13
    assert [step for step, _, _ in answer.path] == [1, 2]
    assert np.array_equal(answer.path[0][1], answer.given)


def test_test_inputs_that_are_alike_do_not_share_their_votes(tasks: Path) -> None:
    identifiers = read_identifiers(tasks / "drawn")
    task = parse_arc_task((tasks / "recolour.json").read_text())
    variants = variants_of("recolour", identifiers, None)
    oracle = Oracle(_augmented_rule("recolour", identifiers, np.random.default_rng(1)))
    twice, options = replace(task, tests=task.tests * 2), {"steps": None, "batch_size": 4, "progress": lambda _: None}
    for answer in solve_task(oracle, identifiers, twice, variants, CPU, **options):
        assert answer.right(1) is True
        assert sum(one.votes for one in answer.candidates) == 13


def test_an_unknown_task_is_not_guessed(tasks: Path) -> None:
    identifiers = read_identifiers(tasks / "drawn")
    other = parse_arc_task('{"train": [{"input": [[1]], "output": [[2]]}], "test": [{"input": [[1]]}]}')
    assert find_task(other, tasks / "drawn", identifiers) is None
    assert len(variants_of("nothing", identifiers, None)) == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[1, 2]", "damaged JSON"),
        ("[]", "not an ARC task"),
        ('{"a": {"test": []}, "b": {}}', "not an ARC task"),
        ('{"test": [{"input": [[1], [2, 3]]}]}', "test 1: `input` must be a rectangle"),
        ('{"test": [{"input": [[10]]}]}', "colours 0 to 9"),
        ('{"test": [{"input": [[true]]}]}', "colours 0 to 9"),
        ('{"test": [{"input": [[1]], "output": [[]]}]}', "test 1: `output` must"),
        ('{"train": [{"input": [[1]]}], "test": [{"input": [[1]]}]}', "train 1: `output` must"),
    ],
)
def test_a_file_that_is_no_task(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_arc_task(text)


# --- The command ---


def trm(*words: object) -> int:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr("sys.argv", ["trm", *map(str, words)])
        main()
    return int(ended.value.code or 0)


def _train_a_step(data: Path, run: Path, *words: str) -> Path:
    small = [
        "arch=trm_quickstart",
        "global_batch_size=4",
        "epochs=50",
        "eval_interval=50",
        "threads=1",
        "device=cpu",
        "wandb=disabled",
    ]
    tiny = ["arch.hidden_size=16", "arch.halt_max_steps=2", "--stop-at-step", "1"]
    assert trm("train", f"data_paths=[{data}]", f"checkpoint_path={run}", *small, *tiny, *words) == 0
    return run


def test_a_file_of_boards(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = _train_a_step(write_boards(tmp_path / "data"), tmp_path / "run")
    file = tmp_path / "boards.txt"
    file.write_text("1.....3..2.....4\n\n12\n................\n")
    capsys.readouterr()
    assert trm("solve", run, "--all-solutions-of", file, "--device", "cpu") == 1
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert [len(line) for line in lines] == [16, 0, 16]
    assert f"{file}:3: this puzzle has 2 cells" in shown.err
    assert "2 puzzles: " in shown.err
    file.write_text("1.....3..2.....4\n")
    assert trm("solve", run, "--all-solutions-of", file, "--json", "--device", "cpu") == 5
    document = json.loads(capsys.readouterr().out)
    assert (document["puzzles"], document["unreadable"]) == (1, [])
    assert document["answers"][0]["answer"] == lines[0]
    assert trm("solve", run, file, "--all-solutions-of", file) == 2
    assert trm("solve", run, "--all-solutions-of", tmp_path / "none") == 2
    assert trm("solve", run, file, "--votes", "3") == 2


def test_a_maze_on_the_screen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from dataset_builders import maze

    few = ["--size", "6", "--min-path", "4", "--train", "4", "--test", "2", "--workers", "1"]
    assert maze.main([*few, "--output-dir", str(tmp_path / "data")]) == 0
    run = _train_a_step(tmp_path / "data", tmp_path / "run")
    text = "S.....\n######\n......\n......\n......\n.....G"
    capsys.readouterr()
    assert trm("solve", run, text) == 5
    shown = capsys.readouterr().out
    assert "######" in shown
    assert "not solved: " in shown
    assert trm("solve", run, text, "--json") == 5
    document = json.loads(capsys.readouterr().out)
    assert (document["puzzle"], document["solved"]) == (text.replace("\n", ""), False)


def test_an_arc_task_on_the_screen(tasks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = ["arch.puzzle_emb_ndim=8", "arch.puzzle_emb_len=1", "arch.mlp_t=false", "arch.pos_encodings=rope"]
    run = _train_a_step(tasks / "drawn", tmp_path / "run", *table)
    capsys.readouterr()
    assert trm("solve", run, tasks / "mirror.json", "--votes", "3", "--json") == 5
    document = json.loads(capsys.readouterr().out)
    assert (document["task"], document["augmentations"]) == ("mirror", 3)
    assert len(document["tests"][0]["steps"]) == 2
    assert trm("solve", run, tasks / "mirror.json", "--votes", "2") == 5
    shown = capsys.readouterr()
    assert "attempt 1: " in shown.out
    assert "task mirror: 1 test input under 2 augmentations" in shown.err
    stranger = '{"train": [{"input": [[1]], "output": [[2]]}], "test": [{"input": [[1]]}]}'
    assert trm("solve", run, stranger) == 2
    told = capsys.readouterr().err
    assert "no task with these demonstrations" in told
    assert f"trm adapt {run} TASK.json --budget 10m" in " ".join(told.split())
    (tmp_path / "new task.json").write_text(stranger)
    assert trm("solve", run, tmp_path / "new task.json") == 2
    assert "/new task.json' --budget 10m" in " ".join(capsys.readouterr().err.split())
    assert trm("solve", run, tasks / "mirror.json", "--task", "nothing") == 2
    assert trm("solve", run, "--all-solutions-of", tasks / "mirror.json") == 2
