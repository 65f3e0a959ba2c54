"""Parameter updates. The learning rate comes in with every step; no optimizer knows the schedule."""
