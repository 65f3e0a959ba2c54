"""`dataset_args` -> flags, both forms, and the place of everything that is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from trm_cli.config.dataset_args import builder_flags, read_dataset_args
from trm_cli.config.sources.yaml_loader import Document, parse_yaml
from trm_cli.errors import Problem

MAPPING = {
    "output_dir": "datasets/vision_unified",
    "sources": ["kaggle/combined", "tinystories"],
    "augment": True,
    "render": False,
    "limit": None,
    "num_aug": 1000,
    "share": 1e-4,
    "box": [2, 3],
}
FLAGS = [
    "--output-dir", "datasets/vision_unified", "--sources", "kaggle/combined", "tinystories", "--augment",
    "--num-aug", "1000", "--share", "0.0001", "--box", "2", "3",
]  # fmt: skip


def read(raw: Any) -> dict[str, Any]:
    problems: list[Problem] = []
    args = read_dataset_args(Document("dataset_args", {"dataset_args": raw}), problems)
    assert not problems
    return args


def test_flags_of_a_mapping() -> None:
    assert builder_flags(read(MAPPING)) == FLAGS


@pytest.mark.parametrize(
    "words",
    [
        FLAGS,
        ["--output-dir=datasets/vision_unified", "sources=[kaggle/combined, tinystories]", "augment=true",
         "render=false", "limit=null", "num_aug=1000", "share=0.0001", "--box", 2, 3],
        ["output_dir=datasets/vision_unified", "--sources", "kaggle/combined", "--sources", "tinystories", "--augment",
         "--augment", "--num-aug", 1000, "--share", 0.0001, "box=2", "box=3"],
    ],
)  # fmt: skip
def test_the_older_list_gives_the_same_flags(words: list[Any]) -> None:
    flags = builder_flags(read(words))
    assert sorted(flags) == sorted(FLAGS)
    assert flags[:2] == FLAGS[:2]


def test_a_value_keeps_its_spelling() -> None:
    assert builder_flags(read(["output_dir=x", "--seed", "007", "scale=1e3"])) == [
        "--output-dir", "x", "--seed", "007", "--scale", "1e3",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "place", "word"),
    [
        ("dataset_args: 5\n", "1:1", "must be a mapping"),
        ("dataset_args: text\n", "1:1", "must be a mapping"),
        ("dataset_args: null\n", "1:1", "must be a mapping"),
        ("dataset_args:\n  sources: [a]\n", "1:1", "no `output_dir`"),
        ("dataset_args: []\n", "1:1", "no `output_dir`"),
        ("dataset_args:\n  output_dir: 5\n", "2:3", "path of a directory"),
        ("dataset_args:\n  output_dir: [a, b]\n", "2:3", "path of a directory"),
        ("dataset_args:\n  output_dir: null\n", "2:3", "path of a directory"),
        ("dataset_args:\n  output_dir: x\n  a:\n    b: 1\n", "3:3", "is a mapping"),
        ("dataset_args:\n  output_dir: x\n  a:\n    - [1]\n", "4:7", "an item of `a`"),
        ("dataset_args:\n  output_dir: x\n  a: [true]\n", "3:7", "an item of `a`"),
        ("dataset_args:\n  output-dir: x\n", "2:3", "is not a name"),
        ("dataset_args:\n  - x\n  - output_dir=y\n", "2:5", "does not belong to any flag"),
        ("dataset_args:\n  - output_dir=y\n  - {a: 1}\n", "3:5", "an item of `dataset_args`"),
        ("dataset_args:\n  - output_dir=y\n  - true\n", "3:5", "an item of `dataset_args`"),
        ("dataset_args:\n  - --output-dir\n  - a\n  - b\n", "1:1", "path of a directory"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(text: str, place: str, word: str) -> None:
    document = parse_yaml(text, "m.yaml")
    problems: list[Problem] = []
    read_dataset_args(document, problems)
    [problem] = problems
    assert problem.where == f"m.yaml:{place}"
    assert word in problem.message
