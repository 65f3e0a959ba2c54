"""The multimodal_hesc network (Hierarchical Expandable Semantic Capsules): text, pictures and puzzles."""
