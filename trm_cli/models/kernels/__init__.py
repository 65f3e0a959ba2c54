"""Compute functions of `models.layers` faster or in less memory, with the same results up to rounding.

`choice` decides whether they are used; without them the formulas of `models.layers` compute everything. `products`
multiplies float32 matrices by oneDNN, `cache` divides a batch into parts that fit into the processor's cache, and
`norm`, `gated_mlp` and `attention` have gradients written out by hand, which keep less than autograd would.
`compiling` asks torch's compiler for one function.

May import `models.numerics`; knows no layer and no network.
"""
