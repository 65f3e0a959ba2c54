"""Files of a dataset on disk: durable writing, `dataset.json`, `manifest.json`, puzzle arrays."""
