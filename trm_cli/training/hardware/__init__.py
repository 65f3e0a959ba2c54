"""Choose where a run computes: device, precision, threads, free memory; sets process-wide torch state."""
