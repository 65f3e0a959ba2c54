"""Load configurations: YAML files and overrides become a `RunConfig`."""
