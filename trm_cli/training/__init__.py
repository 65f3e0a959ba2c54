"""Train a model: the update, the loop and the state of a run.

loop                     execute the plan, one update at a time
step                     one update: forward, backward, clip, optimizers, average
state                    all that the next update depends on, saved and loaded
checkpoint               write, find, check and read the checkpoints of a run
run                      a run directory: its configuration, its datasets, the state that it begins with
transfer                 export to ONNX and safetensors, import the weights of others
forecast                 how long a run will take
memory                   how much memory an update needs, and how many rows fit
optimizers               what turns gradients into updates
distributed              process group, sums of gradients, shards
hardware                 precision, threads, devices, copies between them
recording                metrics.jsonl, W&B, TensorBoard, energy
batch_transfer, gradients, averages, nonfinite, signals, profiling   what these need
run_files                the names of the files in a run directory, and in a published model
hub                      fetch published models from a hub

From the top down: `transfer` and `forecast`, `memory`, `run`, loop, batch_transfer, `checkpoint`, step, averages,
state, `optimizers`, `hardware`, `distributed`, `recording`. Nothing imports a package above it, and nothing here
imports commands, console or workflows.
"""
