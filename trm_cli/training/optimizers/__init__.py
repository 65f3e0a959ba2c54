"""Optimizers: AdamATan2, AdamW, Muon, and sign-SGD for the puzzle table. The learning rate is passed at every step.

Import nothing of training but `distributed.tensor_shards` and `hardware.conditional_update`.
"""
