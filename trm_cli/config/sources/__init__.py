"""Where configuration values come from: YAML text, overrides and references, each with the place it was written.

May import errors alone.
"""
