"""Text datasets: nothing is lost between a document and its rows, and labels are the next tokens."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dataset_builders.lib.text.corpus import EOS, FIRST_TOKEN
from dataset_builders.lib.text.named_sources import stdlib_files
from dataset_builders.text import main
from trm_cli.data.files.manifest import verify
from trm_cli.data.puzzles.dataset import BatchOrder, open_dataset


def tokens_of(root: Path, split: str) -> list[int]:
    """The row of tokens that inputs and labels were cut from."""
    inputs = np.load(root / split / "all__inputs.npy")
    labels = np.load(root / split / "all__labels.npy")
    whole = np.append(inputs.reshape(-1), labels[-1, -1])
    assert np.array_equal(whole[1:], labels.reshape(-1)), "every label is the token after its input"
    return np.trim_zeros(whole, "b").tolist()


def test_documents_come_back_out_of_the_rows(tmp_path: Path) -> None:
    documents = [f"Document {n} \u2013 caf\u00e9.\n" + "x" * (n * 7 % 90) for n in range(60)]
    folder = tmp_path / "in" / "deep"
    folder.mkdir(parents=True)
    for number, text in enumerate(documents[:20]):
        (folder / f"{number}.py").write_text(text, encoding="utf-8")
    (tmp_path / "in" / "more.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in documents[20:40]))
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table({"text": documents[40:], "id": list(range(20))}), tmp_path / "in" / "last.parquet")
    root = tmp_path / "d"
    flags = ["--output-dir", str(root), "--source", str(tmp_path / "in"), "--seq-len", "50", "--test-share", "0.2"]
    assert main(flags) == 0
    found: dict[str, list[str]] = {}
    for split in ("train", "test"):
        parts = "".join(chr(token) for token in tokens_of(root, split)).split(chr(EOS))
        assert parts.pop() == ""
        found[split] = [bytes(ord(c) - FIRST_TOKEN for c in part).decode("utf-8") for part in parts]
    assert sorted(found["train"] + found["test"]) == sorted(documents)
    assert found["test"] and not set(found["train"]) & set(found["test"])
    data = open_dataset([root], "train")
    batch = data.train_batch(1, BatchOrder(4, data.facts.total_groups // 4), 0)
    assert batch["inputs"].shape == (4, 50) and data.metadata.vocab_size == 258
    assert verify(root) == []


def test_repeats_are_left_out_and_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(f"text {n % 30} " * 9) for n in range(45)))
    flags = ["--output-dir", str(tmp_path / "d"), "--source", str(tmp_path / "a.jsonl"), "--test-share", "0.3"]
    assert main([*flags, "--plan"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert main(flags) == 0
    assert "left out 15 repeated documents" in capsys.readouterr().err
    for split in ("train", "test"):
        built = json.loads((tmp_path / "d" / split / "dataset.json").read_text())
        assert built["total_groups"] == plan[split]["total_groups"]
    before = {path: path.read_bytes() for path in (tmp_path / "d").rglob("*.npy")}
    assert main([*flags, "--rebuild"]) == 0
    assert {path: path.read_bytes() for path in (tmp_path / "d").rglob("*.npy")} == before


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.txt", b"fine\n\xe9", "a.txt:2: not UTF-8 text (byte 5 is 0xe9)"),
        ("a.jsonl", b'{"text": 1}', "a.jsonl:1"),
        ("a.parquet", b"junk", "a.parquet: damaged parquet"),
        ("a.txt", b"only one document", "the test split would be empty"),
        ("a.unknown", b"", "holds no text"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_3(
    name: str, data: bytes, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes(data)
    assert main(["--output-dir", str(tmp_path / "d"), "--source", str(tmp_path / "in")]) == 3
    error = capsys.readouterr().err
    if message == "the test split would be empty":
        assert "split would be empty" in error
    else:
        assert message in error
    assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "d").exists()


def test_a_tokenizer_file_takes_the_place_of_bytes(tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    trained = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token="?"))
    trained.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained.decoder = tokenizers.decoders.ByteLevel()
    texts = [f"the cat number {n} sat on the mat and the mat was warm" for n in range(30)]
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=400, special_tokens=["?"], initial_alphabet=alphabet, show_progress=False
    )
    trained.train_from_iterator(texts, trainer)
    trained.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "in").mkdir()
    for number, text in enumerate(texts):
        (tmp_path / "in" / f"{number}.txt").write_text(text)
    root = tmp_path / "d"
    flags = ["--output-dir", str(root), "--source", str(tmp_path / "in"), "--seq-len", "32", "--test-share", "0.2"]
    assert main([*flags, "--tokenizer", str(tmp_path / "tokenizer.json")]) == 0
    metadata = json.loads((root / "train" / "dataset.json").read_text())
    assert metadata["vocab_size"] == trained.get_vocab_size() + FIRST_TOKEN
    found: list[str] = []
    for split in ("train", "test"):
        document: list[int] = []
        for token in tokens_of(root, split):
            if token == EOS:
                found.append(trained.decode(document))
                document = []
            else:
                document.append(token - FIRST_TOKEN)
    assert sorted(found) == sorted(texts)
    (tmp_path / "bad.json").write_text("{}")
    assert main([*flags, "--rebuild", "--tokenizer", str(tmp_path / "bad.json")]) == 3


def test_code_of_the_standard_library(tmp_path: Path) -> None:
    root = tmp_path / "d"
    assert main(["--output-dir", str(root), "--source", "stdlib", "--limit", "40", "--test-share", "0.2"]) == 0
    manifest = json.loads((root / "manifest.json").read_text())
    assert manifest["licence"].startswith("PSF-2.0 (Python 3.")
    text = bytes(token - FIRST_TOKEN for token in tokens_of(root, "train") if token != EOS)
    assert b"import " in text and b"def " in text
    names = [path.as_posix() for path in stdlib_files()]
    assert len(names) > 300
    assert not [name for name in names if "/test/" in name or "site-packages" in name]
