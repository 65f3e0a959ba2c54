"""Write command lines that sh, bash and zsh read back as the words that they were made of."""

from __future__ import annotations

import shlex


def quote(word: object) -> str:
    """One word as a shell reads it."""
    text = str(word)
    # To zsh `=name` is the path of a program; everything else that it expands is quoted for sh as well.
    return f"'{text}'" if text.startswith("=") and shlex.quote(text) == text else shlex.quote(text)


def command_line(*words: object) -> str:
    """Words as one command line."""
    return " ".join(map(quote, words))
