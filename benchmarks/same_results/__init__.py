"""Compare two checkouts of this repository: the same commands, the same settings, on one machine, in turn.

    python -m benchmarks.same_results OLD_TREE                     # everything, about ten minutes on one core
    python -m benchmarks.same_results OLD_TREE --only hrm evaluate # steps whose name holds one of these words
    python -m benchmarks.same_results OLD_TREE --out DIR           # keep what both wrote

OLD_TREE is a checkout of an earlier version. Each tree builds small datasets, trains every architecture for a few
float32 updates, evaluates, solves, exports and prints its `--json` documents; then both continue runs of the old one.
Datasets are compared by bytes, tensors by bits, documents by keys and values, but for `compare.EXCEPTIONS`. Prints one
line a step; exit code 1 on any difference.

`cases` says what is run, `tree` runs it in a checkout (`serve` is the program that stays loaded there), `compare` says
where two results differ.
"""
