"""Text datasets: nothing is lost between a document and its rows, and labels are the next tokens."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dataset_builders.lib.digest_set import DigestSet
from dataset_builders.lib.text.corpus import EOS, FIRST_TOKEN
from dataset_builders.lib.text.documents import list_files, read_documents
from dataset_builders.lib.text.named_sources import stdlib_files
from dataset_builders.text import main
from trm_cli.data.files.manifest import verify
from trm_cli.data.files.metadata import DatasetMetadata
from trm_cli.data.files.puzzle_arrays import write_split
from trm_cli.data.puzzles.dataset import BatchOrder, open_dataset
from trm_cli.errors import DatasetError

ROOT = Path(__file__).parents[2]


def tokens_of(root: Path, split: str) -> list[int]:
    """The row of tokens that inputs and labels were cut from."""
    whole = np.load(root / split / "all__tokens.npy")
    data = open_dataset([root], split)
    rows = data.eval_at(np.arange(data.eval_rows))
    assert np.array_equal(rows["inputs"].reshape(-1), whole[:-1])
    labels = rows["labels"].reshape(-1)
    assert np.array_equal(np.where(labels < 0, 0, labels), whole[1:]), "every label is the token after its input"
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


def test_memory_and_disk_do_not_grow_faster_than_the_corpus(tmp_path: Path) -> None:
    source, root = tmp_path / "a.jsonl", tmp_path / "d"
    with source.open("w") as file:
        for number in range(20_000):
            file.write(json.dumps({"text": f"{number} " + "word after word " * 120}) + "\n")
    program = (
        "import sys; from dataset_builders.text import main; "
        "assert main(sys.argv[1:]) == 0; "
        "print(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0])"
    )
    command = [sys.executable, "-c", program, "--output-dir", str(root), "--source", str(source)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    # 38 MB of text; with numpy the program itself takes 35 MiB.
    assert int(done.stdout) < 60 << 10, f"{int(done.stdout) >> 10} MiB resident"
    tokens = sum(len(np.load(root / split / "all__tokens.npy", mmap_mode="r")) for split in ("train", "test"))
    on_disk = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    assert tokens > 38e6 and on_disk < 1.01 * tokens


def test_a_text_dataset_of_two_arrays_is_still_read(tmp_path: Path) -> None:
    rows, length = 6, 8
    tokens = np.arange(2, 2 + rows * length + 1, dtype=np.uint16)
    metadata = DatasetMetadata(
        vocab_size=258, seq_len=length, total_groups=rows, total_puzzles=rows, kind="text", extra={"causal": True}
    )
    counts = np.arange(rows + 1, dtype=np.int32)
    arrays = {
        "inputs": tokens[:-1].reshape(rows, length),
        "labels": tokens[1:].reshape(rows, length),
        "puzzle_identifiers": np.zeros(rows, np.int32),
        "puzzle_indices": counts,
        "group_indices": counts,
    }
    write_split(tmp_path / "old", "train", metadata, arrays)
    new = replace(metadata, extra={**metadata.extra, "layout": "tokens"})
    write_split(tmp_path / "new", "train", new, {"tokens": tokens.astype(np.uint8)})
    order = BatchOrder(4, 1)
    old_data, new_data = (open_dataset([tmp_path / name], "train") for name in ("old", "new"))
    for step in (1, 2, 3):
        old_batch, new_batch = (data.train_batch(step, order, 7) for data in (old_data, new_data))
        assert old_batch.keys() == new_batch.keys()
        for key, value in old_batch.items():
            assert np.array_equal(value, new_batch[key]) and value.dtype == new_batch[key].dtype


def test_separators_are_found_across_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"story {number}\n" + "\u00e9" * (number * 7 % 23) for number in range(40)]
    (tmp_path / "a.txt").write_text("<|endoftext|>".join(texts), encoding="utf-8")
    for block in (1, 5, 13, 64):
        monkeypatch.setattr("dataset_builders.lib.text.documents._BLOCK_BYTES", block)
        assert [document.text for document in read_documents([tmp_path / "a.txt"])] == texts
    (tmp_path / "b.txt").write_bytes(b"one\ntwo<|endoftext|>three\n\xff")
    with pytest.raises(DatasetError, match=r"b\.txt:3: not UTF-8 text \(byte 26 is 0xff"):
        list(read_documents([tmp_path / "b.txt"]))


def test_files_come_in_the_order_of_their_paths(tmp_path: Path) -> None:
    for name in ("a/z.txt", "a/b/c.txt", "a.txt", "a-.txt", "b.md", ".hidden/x.txt", "a/.x.txt", "a/none.bin"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    found = [file.relative_to(tmp_path).as_posix() for file in list_files(tmp_path)]
    assert found == sorted(found) == ["a-.txt", "a.txt", "a/b/c.txt", "a/z.txt", "b.md"]


def test_repeats_are_known_in_a_full_table() -> None:
    digests = [hashlib.sha256(str(number).encode()).digest() for number in range(9_000)]
    seen = DigestSet()
    assert all(seen.add(digest) for digest in digests) and len(seen) == 9_000
    assert not any(seen.add(digest) for digest in digests)


def test_a_pipe_in_place_of_a_tokenizer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert main(["--output-dir", str(tmp_path / "d"), "--limit", "9", "--tokenizer", str(tmp_path / "pipe")]) == 3
    assert "it is a pipe, not a file" in capsys.readouterr().err
