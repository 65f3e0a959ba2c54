"""Carrying work out with an account of the memory that it takes on the processor, or would take there.

torch's fake tensors would do the second, and take several times as long an operation.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from trm_cli.models.kernels.cache import counting_for_processor
from trm_cli.training.memory.heap import Heap

_PRODUCTS = {torch.ops.aten.mm, torch.ops.aten.bmm, torch.ops.aten.addmm, torch.ops.aten.baddbmm}


class Ledger(TorchDispatchMode):
    """The bytes of all tensors that are alive, and the most there ever were."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._known: set[int] = set()
        self.heap = Heap()
        #: The different bfloat16 products: on the CPU each is compiled for its shape, and the code is kept.
        self.products: set[Any] = set()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: torch would load its compiler, to be kept away from a mode that never meets it."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and note the storages that it made."""
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket in _PRODUCTS and result.dtype is torch.bfloat16:
            operands = (leaf for leaf in args if isinstance(leaf, Tensor))
            self.products.add((func, *((leaf.shape, leaf.stride()) for leaf in operands)))
        for leaf in tree_iter(result):
            if isinstance(leaf, Tensor) and leaf.layout is torch.strided:
                self._note(leaf.untyped_storage())
        return result

    def _note(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._known:
            return
        size = storage.nbytes()
        self._known.add(key)
        self.heap.take(key, size)
        weakref.finalize(storage, self._forget, key, size)
        self.live += size
        self.peak = max(self.peak, self.live)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.heap.give(key)
        self.live -= size

    def most_in(self, work: Callable[[], object]) -> int:
        """The peak while `work` runs."""
        self.peak = self.live
        work()
        return self.peak


def _fused_attention(
    q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0, is_causal: bool = False
) -> Tensor:
    """Attention by the processor's kernel, which takes a mask as numbers to add."""
    bias = None if attn_mask is None else torch.zeros_like(attn_mask, dtype=q.dtype)
    kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    result: Tensor = kernel(q, k, v, dropout_p, is_causal, attn_mask=bias)[0]
    return result


@contextmanager
def weightless() -> Iterator[Ledger]:
    """Within the block tensors are made without contents, computed as on the processor, and accounted for.

    Attention without contents is not asked for its kernel: torch would write it out, forward and when activations are
    computed again in the backward pass, where no mode sees it. So the function itself has a stand-in.
    """
    counting = counting_for_processor.set(True)
    original = functional.scaled_dot_product_attention
    functional.scaled_dot_product_attention = _fused_attention  # type: ignore[assignment]  # with fewer options
    try:
        with torch.device("meta"), Ledger() as ledger:
            yield ledger
    finally:
        functional.scaled_dot_product_attention = original
        counting_for_processor.reset(counting)


@contextmanager
def weighed() -> Iterator[Ledger]:
    """Within the block tensors are real, and accounted for; what chance brings afterwards does not change."""
    with torch.random.fork_rng(devices=[]), Ledger() as ledger:
        yield ledger
