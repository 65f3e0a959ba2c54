"""Count what an update would cost a device, on the processor: waits for it, copies to it, kernels, types."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves

from trm_cli.evaluation.scores import accuracy
from trm_cli.models.upload import packed
from trm_cli.training import batch_transfer, loop

#: Operations whose result, or its shape, the host has to know.
_WAITING = {
    "_local_scalar_dense", "item", "nonzero", "masked_select", "_coalesce", "equal", "is_nonzero", "unique_dim",
    "_unique2", "unique_consecutive", "_unique", "_to_dense",
}  # fmt: skip
#: Methods that read a tensor of the processor without an operation.
_READING = {Tensor.tolist: "tolist", Tensor.numpy: "numpy", Tensor.cpu: "cpu"}
_MAKING = {torch.tensor: "tensor", torch.as_tensor: "as_tensor"}
#: Views and bookkeeping: nothing is launched for them.
_FREE = {
    "view", "_unsafe_view", "detach", "alias", "expand", "slice", "select", "unsqueeze", "squeeze", "t", "transpose",
    "permute", "unbind", "split", "split_with_sizes", "as_strided", "lift_fresh", "empty", "empty_like", "_indices",
    "_values", "_sparse_coo_tensor_unsafe", "empty_strided", "unsafe_split", "chunk",
}  # fmt: skip


class _Operations(TorchDispatchMode):
    def __init__(self, found: Traffic) -> None:
        super().__init__()
        self._found = found

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: torch would load its compiler, to keep it away from a mode that never meets it."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self._found.note_operation(func._schema.name.removeprefix("aten::"), args, result)
        return result


class Traffic(TorchFunctionMode):
    """Within the block everything that is computed is counted: by name, as waits, copies, kernels and types."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: Counter[str] = Counter()
        self.copies: Counter[str] = Counter()
        self.kernels: Counter[str] = Counter()
        self.doubles: Counter[str] = Counter()
        self._operations = _Operations(self)

    def note_operation(self, name: str, args: Any, result: Any) -> None:
        """Count an operation of the dispatcher."""
        if name in _WAITING or (name in ("index", "index_put_", "index_put") and _by_mask(args)):
            self.waits[name] += 1
        if name not in _FREE:
            self.kernels[name] += 1
        if any(isinstance(leaf, Tensor) and leaf.dtype == torch.float64 for leaf in tree_leaves((args, result))):
            self.doubles[name] += 1

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _READING:
            self.waits[_READING[func]] += 1
        if func in _MAKING:
            self.copies[_MAKING[func]] += 1
        if func is Tensor.to and "non_blocking" in kwargs:  # said where, and only where, host memory goes to a device
            self.copies["to"] += 1
        return func(*args, **kwargs)

    def __enter__(self) -> Traffic:
        super().__enter__()
        self._operations.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._operations.__exit__(kind, error, trace)
        super().__exit__(kind, error, trace)


def _by_mask(args: Any) -> bool:
    return any(one is not None and one.dtype in (torch.bool, torch.uint8) for one in args[1])


def as_on_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the loop and its evaluations treat the processor as a device that computes apart from the host."""
    for module in (loop, batch_transfer, accuracy):
        monkeypatch.setattr(module, "computes_apart", lambda device: True)
    for module in (batch_transfer, accuracy):
        monkeypatch.setattr(module, "to_device", packed)
    # What has tensors of host memory alone, and what was brought there.
    for owner, names in (
        (batch_transfer.BatchTransfer, ("_layouts",)),
        (accuracy._Sums, ("add", "add_text")),
        (accuracy, ("_outline",)),
    ):
        for name in names:
            monkeypatch.setattr(owner, name, uncounted(getattr(owner, name)))
    layouts = accuracy._layouts
    monkeypatch.setattr(
        accuracy, "_layouts", lambda *given: None if (found := layouts(*given)) is None else uncounted(found)
    )


def uncounted(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, seen by no mode."""

    def call(*arguments: Any) -> Any:
        with _disable_current_modes(), torch._C.DisableTorchFunction():
            return function(*arguments)

    return call


def tensors(arrays: Mapping[str, Any]) -> dict[str, Tensor]:
    """Tensors that share the memory of arrays."""
    return {name: torch.from_numpy(array) for name, array in arrays.items()}
