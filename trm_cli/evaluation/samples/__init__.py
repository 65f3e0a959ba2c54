"""Sample answers for people: solved puzzles with their steps, generated text, capsule traces."""
