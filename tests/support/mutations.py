"""Change configuration files and overrides at random: bytes, words, values, lines."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

TRAPS = (
    "1e-4", "on", "010", "12:30", ".inf", "-.inf", ".nan", "~", "null", "1_000", "0x10", "[a, b]", "{a: 1}", "{a:1}",
    "''", "-1", "0", "1e999", "9" * 30, "true", "[[[]]]", "&x [*x]", "*x", "!!python/object:os.system x", "|", ">-",
    "!!binary aGk=", "'", '"', "\t1", "%", "@a", "`", "${lr}", "${arch}", "${model}", "${", "${}", "${a.b}", "${${lr}}",
    "é", "\u2028", "- 1", "? x", "<<: 1", "2024-01-01", "a" * 300, "../../etc", "/", "\\", "=", "x=y", "--flag", "1.5",
    "-0.0", "0.29",
)  # fmt: skip
KEYS = ("epochs", "lr", "arch", "arch.hidden_size", "arch.family", "model", "data_paths", "seed", "ema", "threads",
        "grad_clip", "dqn_warmup_steps", "dqn_warmup_ratio", "checkpoint_path", "arch.num_heads", "compile", "nonsense",
        "arch.puzzle_emb_ndim", "load_checkpoint", "lr_warmup_steps")  # fmt: skip

Mutation = Callable[[random.Random, bytes], bytes]


def damage_bytes(rng: random.Random, raw: bytes) -> bytes:
    data = bytearray(raw)
    for _ in range(min(rng.randint(1, 8), len(data) // 6)):
        position = rng.randrange(len(data))
        if rng.random() < 0.5:
            data[position] = rng.randrange(256)
        else:
            del data[position : position + rng.randint(1, 5)]
    return bytes(data)


def truncate(rng: random.Random, raw: bytes) -> bytes:
    return raw[: rng.randrange(len(raw) + 1)]


def misspell(rng: random.Random, raw: bytes) -> bytes:
    words = [match.span(1) for match in re.finditer(rb"(?m)^\s*(\w+):", raw)]
    start, end = rng.choice(words or [(0, 1)])
    word = bytearray(raw[start:end])
    word[rng.randrange(len(word))] = rng.choice(b"abcxyz_-. :")
    return raw[:start] + bytes(word) + raw[end:]


def change_value(rng: random.Random, raw: bytes) -> bytes:
    values = [match.span(1) for match in re.finditer(rb"(?m)^\s*\w+:[ \t]+([^#\n]*)", raw)]
    start, end = rng.choice(values or [(0, 1)])
    return raw[:start] + rng.choice(TRAPS).encode() + raw[end:]


def change_lines(rng: random.Random, raw: bytes) -> bytes:
    lines = raw.split(b"\n")
    first, second = rng.randrange(len(lines)), rng.randrange(len(lines))
    action = rng.randrange(6)
    if action == 0:
        lines.insert(first, lines[second])
    elif action == 1:
        lines[first], lines[second] = lines[second], lines[first]
    elif action == 2:
        lines[first] = rng.choice((b"\t", b" ", b"  ", b"- ", b"#")) + lines[first]
    elif action == 3:
        lines[first] = lines[first].lstrip()
    elif action == 4:
        lines.insert(first, b"%s: %s" % (rng.choice(KEYS).encode(), rng.choice(TRAPS).encode()))
    else:
        lines.insert(first, rng.choice(TRAPS).encode())
    return b"\n".join(lines)


FILE_MUTATIONS: tuple[Mutation, ...] = (damage_bytes, truncate, misspell, change_value, change_value, change_lines)


def mutated_override(rng: random.Random) -> str:
    word = f"{rng.choice(KEYS)}={rng.choice(TRAPS)}"
    if rng.random() < 0.2:
        position = rng.randrange(len(word))
        word = word[:position] + chr(rng.randrange(1, 0x300)) + word[position + 1 :]
    return word
