"""What a supervision step carries, decides and is judged by: the carry, halting, outputs, losses, starts.

May import `models.numerics`; knows no network.
"""
