"""Text corpora: documents from files and the hub, built-in sample stories, tokens, writing rows of them.

All but `writing` need no numpy.
"""
