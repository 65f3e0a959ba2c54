"""Dataset builders seen from outside: their command line, their process and progress, a build beside a run.

May import `trm_cli.data.stream` and `trm_cli.data.files`.
"""
