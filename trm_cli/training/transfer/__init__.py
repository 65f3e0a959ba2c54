"""Import weights of other programs as a run, and export the weights of a run.

importing          make a run from a file of weights
foreign_weights    read such a file and translate its names
weight_names       the names in the original TRM and HRM code, and ours
compatibility      check that weights fit a model
exporting          write weights as safetensors or in the original's names

Everything in training may be imported here; nothing in training imports it.
"""
