"""Publish a trained model as a folder, and move such folders to and from a Hugging Face hub.

facts      what there is to say about a model: its plan, its data, what was measured
folder     write weights, facts and card
hub        push to the hub, pull from it

A published model has weights and no run: no pickle, no optimizer, no carry. It is used where a RUN is taken.
"""
