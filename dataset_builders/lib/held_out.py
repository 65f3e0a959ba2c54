"""Choose the documents and files that are held out for the test split."""

from __future__ import annotations

import hashlib


def is_test(digest: bytes, seed: int, share: float) -> bool:
    """Decide the split of a document or file by its content, so that copies of it never are in both splits."""
    value = hashlib.blake2b(digest, digest_size=8, key=str(seed).encode()).digest()
    return int.from_bytes(value, "little") < share * 2**64
