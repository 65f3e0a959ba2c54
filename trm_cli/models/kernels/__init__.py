"""Faster versions of some formulas for a processor: the same results, less time or memory."""
