"""Read weights of other programs, and export the weights of a run. `workflows.import_weights` makes a run of a file.

foreign_weights    read a file of weights of another program and translate its names
weight_names       the names in the original TRM and HRM code, and ours
compatibility      check that weights fit a model
exporting          write weights as safetensors or in the original's names
onnx_step          write one supervision step as ONNX
onnx_network       a network whose steps onnxruntime computes

Everything in training may be imported here; nothing in training imports it.
"""
