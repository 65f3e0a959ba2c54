"""A run: its directory, datasets, model and state, and the training that puts them together.

run                                the run: prepare it, then train
datasets                           the splits of a run and the batches that it draws from them
build                              make a model and the state before the first update
initial_state                      load the checkpoint that the run continues from
run_directory, find_run, reset_run   its files: write, find, delete
sealed_config, readable_copies     the configuration that was saved with the weights, and the files beside it
config_drift                       what has changed in its configuration
published                          find models that have weights and no run: folders, shipped ones, a hub's
trained_model                      load a trained model for inference

Everything in training may be imported here but `transfer`.
"""
