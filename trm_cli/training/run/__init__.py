"""A run: its directory, its session (model, data, plan, state), its initial state, the trained model."""
