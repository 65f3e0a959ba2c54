"""What a row is before anything is computed: its kind, its board cut to what is on it, positions, the layout of a pass.

May import the configuration of the family, and nothing else of it.
"""
