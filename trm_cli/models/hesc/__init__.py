"""The multimodal_hesc network (Hierarchical Expandable Semantic Capsules), which reads canvases."""
