"""Run dataset builders: their command line, process and progress, resumable build directories, building during
training.

May import `trm_cli.data.stream` and `trm_cli.data.files`.
"""
