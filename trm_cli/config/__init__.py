"""The configuration loader: it composes YAML files and overrides into one validated RunConfig.

sources/ reads YAML and overrides. May import the schedule and the configuration classes of the network families.
"""
