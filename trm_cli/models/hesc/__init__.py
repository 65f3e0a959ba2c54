"""The multimodal_hesc network (Hierarchical Expandable Semantic Capsules): text, pictures and puzzles.

model      the network behind the `Network` interface; `network` one pass of its differentiable parts
passes     what goes into a pass and comes out of it; `losses` and `metrics` of a step
config     the keys of the family
text_reader, capsule_trace   generate text, and watch the capsules of a trained network

From the top down: `model`, `control` and `network`, `losses`, `passes`, `thinking`, `rows`, `config`.
"""
