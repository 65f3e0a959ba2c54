"""The multimodal_hesc network (Hierarchical Expandable Semantic Capsules): text, pictures and puzzles.

model                    the network behind the `Network` interface; `network` one pass of its differentiable parts
components               the parts of the network by name, each clipped separately
passes                   what goes into a pass and comes out of it; `losses` and `metrics` of a step
multi_token_prediction   predict several tokens of a text ahead, in training
config                   the keys of the family
text_reader              generate text
capsule_trace            record what the capsules of a trained network do

From the top down: `model`, `control` and `network`, `losses`, `passes`, `thinking`, `rows`, `config`.
"""
