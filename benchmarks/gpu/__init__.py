"""The cases of `benchmarks.gpu_check`: networks and batches, parity of types, trainings of real runs."""
