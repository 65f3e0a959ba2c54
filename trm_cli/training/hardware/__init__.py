"""Where a run computes: device, precision, threads, free memory; the one place that sets process-wide torch state."""
