"""Estimate the memory that training needs, before it starts. May import training.run and training.hardware."""
