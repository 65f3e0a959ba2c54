"""The network families: TRM, HRM, the transformer baseline, and what all token networks share.

May import `models.layers`.
"""
