"""Record a run: logs, metric loggers and the observer.

metrics_log                          `metrics.jsonl` and `timings.jsonl`
loggers                              open the configured loggers; one that fails is disabled
wandb_logger, tensorboard_logger     log to Weights & Biases and TensorBoard
recorders                            logs and loggers of a run together
observer                             the interface through which a run reports its progress; the console implements it

Imports evaluation and config, and nothing else of training.
"""
