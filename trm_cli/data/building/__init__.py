"""Dataset builders seen from outside: the builder process, its progress and heartbeat, a build beside a run."""
