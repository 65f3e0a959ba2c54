"""Train a model: its dataset, its configuration when it goes on, what it costs, and the run itself."""
