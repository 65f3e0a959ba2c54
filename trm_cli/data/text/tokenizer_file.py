"""Read a tokenizer.json of the tokenizers package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from trm_cli.data.files.regular_file import open_regular
from trm_cli.errors import TrmError

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def read_tokenizer(path: Path, *, error: type[TrmError]) -> Tokenizer:
    """Read a tokenizer. Raises `error` where the package or the file cannot be used.

    The package itself would wait for ever on a pipe, deaf to Ctrl-C.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError as problem:
        raise error("--tokenizer needs the tokenizers package", hint="pip install tokenizers") from problem
    try:
        with open_regular(path) as file:
            return Tokenizer.from_buffer(file.read())
    except OSError as problem:
        raise error(f"{path} cannot be read: {problem.strerror}") from problem
    except Exception as problem:  # the package raises bare Exceptions
        raise error(f"{path} is not a tokenizer file: {problem}") from problem
