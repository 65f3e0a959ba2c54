"""Record a run: `metrics.jsonl`, metric loggers (W&B, TensorBoard), and the observer that the console implements.

Imports evaluation and config, and nothing else of training.
"""
