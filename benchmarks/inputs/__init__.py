"""Made-up datasets and runs for the other benchmarks, and how fast batches of real ones are made."""
