"""The parts that compute: tokens, workspace, planner and the recursion over them, each with its shapes.

May import `rows` and the configuration of the family.
"""
