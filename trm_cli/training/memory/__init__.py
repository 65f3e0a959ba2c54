"""How much memory training needs, estimated before it starts. May import training.run and training.hardware."""
