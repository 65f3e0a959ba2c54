"""Train a model: dataset, configuration of a resumed run, cost on a CPU, training."""
