"""ARC tasks as data: the JSON of a task, puzzle identifiers with their augmentation, stored test inputs."""
