"""multimodal_hesc, in small modules: each file one idea."""
