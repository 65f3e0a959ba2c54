"""Convert text to tokens and back, and tell which labels of a dataset are text.

May import `trm_cli.data.files` and `trm_cli.data.stream`.
"""
