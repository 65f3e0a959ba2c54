"""One run in several processes: each computes its rows of the global batch, and all of them make the same update.

process_group, torch_process_group   the processes and what they exchange
joining, launcher                    join the group of a launcher; launch the processes of this machine
gradient_sum                         sum gradients over the processes
config_agreement, stop_agreement     check for equal data and weights; agree on when to stop and save
full_state                           gather the state of all processes, and take one's own rows from it
sharding, tensor_shards              FSDP2: weights, moments and average in shards

Imports signals, and nothing else of training.
"""
