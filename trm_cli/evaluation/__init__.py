"""Evaluate a model: accuracy, voting, prediction files, sample answers, single puzzles."""
