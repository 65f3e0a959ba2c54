"""The one configuration loader that every subcommand shares."""
