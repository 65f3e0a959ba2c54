"""Networks: tensors in, tensors out. They know no files and no schedule but the clock of a step.

`network` is the interface of all, `families` finds and makes them; `networks/` are those of tokens, `hesc/` is the one
of records, `layers/` are their formulas and `kernels/` the same ones faster on a processor. May import `keys` and
`schedule.clock`.
"""
