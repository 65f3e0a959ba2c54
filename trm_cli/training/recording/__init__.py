"""What a run records: `metrics.jsonl`, W&B and TensorBoard, and the observer that the console implements."""
