"""The formulas of the networks as they read in the papers: norms, gated MLPs, attention, losses, halting.

May import `models.kernels`, which computes some of them faster on a processor.
"""
