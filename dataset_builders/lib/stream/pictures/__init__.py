"""Sources of labelled pictures: folders of a user's own, and pictures that are drawn.

folders    pictures in folders, or with a table of labels
drawn      letters, digits and shapes among clutter
strokes    their lines
"""
