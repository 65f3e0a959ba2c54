"""The stream format: shards of records for text, pictures and puzzles, and the batches drawn from them."""
