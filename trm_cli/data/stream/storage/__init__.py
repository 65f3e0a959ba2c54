"""The files of a stream dataset: the plan of its chunks, shards of records, and waiting for those that are being built.

Imports nothing of the batches that are drawn from them.
"""
