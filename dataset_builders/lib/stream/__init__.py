"""Stream datasets: sources, their mixture, the plan, and writing shards."""
