"""When to halt and when to expand: Double DQN with its replay, and what a step tells it.

May import `rows`, and the passes and losses of the family.
"""
