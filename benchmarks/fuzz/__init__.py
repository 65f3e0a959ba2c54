"""Fuzzing: command lines, datasets, source files and checkpoints end in one message, or in what was asked for."""
