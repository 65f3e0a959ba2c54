"""Make sample answers for display: puzzles solved step by step, generated text, capsule traces."""
