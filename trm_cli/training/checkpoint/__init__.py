"""Save and load the checkpoints of a run.

saver              when to save, and what to do where the disk fails
store              the checkpoints of a run directory: save, load the newest valid one, prune
checkpoint_io      read, verify and delete one checkpoint, with its shards
checkpoint_format  the bytes of a file: a torch archive, a summary, a SHA-256
sharded_saving     the shards of a run in several processes that keep the weights in shards
disk_space         whether a checkpoint will fit
inventory, retention, consolidation   list, prune (also on a full disk) and convert: `trm checkpoints`

How a checkpoint travels:
  saved                 training/loop -> saver -> store (-> sharded_saving -> store) -> checkpoint_format
  loaded to resume      run/initial_state -> store -> checkpoint_io -> checkpoint_format, then into training/state
  loaded for inference  run/trained_model -> checkpoint_io -> checkpoint_format

May import `distributed`, `recording`, `hardware` and the state of training; not `run`, not `transfer`.
"""
