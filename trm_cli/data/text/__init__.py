"""Text as tokens and back, and which labels of a dataset are text."""
