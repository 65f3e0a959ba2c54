"""What the card trains: the capsule network through the real workflow, and its baselines in a loop of their own."""
