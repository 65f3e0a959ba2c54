"""Text as tokens and back, and which labels of a dataset are text.

May import `trm_cli.data.files` and `trm_cli.data.stream`.
"""
