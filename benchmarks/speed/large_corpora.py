"""Build text and stream datasets of large made-up corpora: peak memory, time, and bytes on disk a byte token.

    python -m benchmarks.speed.large_corpora                        300,000 documents of some 580 bytes
    python -m benchmarks.speed.large_corpora --documents 2000000 --words 12   short ones

Each build is a process of its own; one JSON line a build. `read` is the peak memory of a process that draws 1,000
batches of 64 rows.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

#: Run in a child process; the last line of its output is the peak of its resident memory, in kB.
_BUILD = """
import sys
from importlib import import_module
code = import_module(sys.argv[1]).main(sys.argv[2:])
print(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0])
sys.exit(code)
"""
_READ = """
import random, sys
from trm_cli.data.opening import open_data
from trm_cli.data.puzzles.dataset import BatchOrder
data = open_data([sys.argv[1]], 'train', board_side=30 if sys.argv[2] == 'stream' else None)
order = BatchOrder(64, data.facts.total_groups // 64)
chance = random.Random(0)
for _ in range(1000):
    data.train_batch(1 + chance.randrange(3 * order.steps_per_epoch), order, 0)
print(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0])
"""


def write_corpus(path: Path, documents: int, words: int) -> None:
    """JSON lines of random words, `words` in the mean, each document once."""
    chance = random.Random(1)
    letters = "abcdefghijklmnopqrstuvwxyz"
    known = ["".join(chance.choices(letters, k=chance.randint(2, 9))) for _ in range(5_000)]
    with path.open("w", encoding="utf-8") as file:
        for number in range(documents):
            text = " ".join(chance.choices(known, k=chance.randint(words // 2, words + words // 2)))
            file.write(json.dumps({"text": f"{number} {text}"}) + "\n")


def build(kind: str, corpus: Path, root: Path) -> dict[str, object]:
    """Build one dataset and read from it."""
    module, source = {
        "text": ("dataset_builders.text", ["--source", str(corpus)]),
        "stream": ("dataset_builders.streaming_builder", ["--sources", f"text:{corpus}"]),
    }[kind]
    started = time.monotonic()
    peak = _peak(_BUILD, module, "--output-dir", str(root), "--workers", "1", *source)
    seconds = time.monotonic() - started
    described = [json.loads((root / split / "dataset.json").read_text()) for split in ("train", "test")]
    if kind == "text":
        tokens = sum(one["total_groups"] * one["seq_len"] for one in described)
    else:
        tokens = sum(one["kinds"]["text"]["symbols"] for one in described)
    on_disk = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    return {
        "builder": kind,
        "build MiB": peak,
        "seconds": round(seconds, 1),
        "tokens": tokens,
        "bytes a token": round(on_disk / tokens, 3),
        "read MiB": _peak(_READ, str(root), kind),
    }


def _peak(program: str, *words: str) -> int:
    done = subprocess.run([sys.executable, "-c", program, *words], stdout=subprocess.PIPE, text=True, check=True)
    return round(int(done.stdout.split()[-1]) / 1024)


def main() -> None:
    """Make the corpus, build both kinds, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=300_000)
    parser.add_argument("--words", type=int, default=90)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus.jsonl"
        write_corpus(corpus, options.documents, options.words)
        print(json.dumps({"documents": options.documents, "corpus bytes": corpus.stat().st_size}), flush=True)
        for kind in ("text", "stream"):
            print(json.dumps(build(kind, corpus, Path(folder) / kind)), flush=True)


if __name__ == "__main__":
    main()
