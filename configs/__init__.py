"""The shipped configurations; a package only so that the YAML files travel with the wheel."""
