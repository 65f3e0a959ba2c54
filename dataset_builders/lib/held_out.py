"""Choose the documents, files and classes of puzzles that are held out for the test split."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def is_test(digest: bytes, seed: int, share: float) -> bool:
    """Decide the split of a document or file by its content, so that copies of it never are in both splits."""
    value = hashlib.blake2b(digest, digest_size=8, key=str(seed).encode()).digest()
    return int.from_bytes(value, "little") < share * 2**64


def is_test_class(hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Decide the split of puzzles by the hashes of their symmetry classes [n]: one class in four, under every seed.

    So no puzzle of one split can be a symmetric form of one in the other.
    """
    import numpy as np  # not at the top: documents are planned without it

    in_test: NDArray[np.bool_] = hashes >> np.uint64(62) == 0
    return in_test
