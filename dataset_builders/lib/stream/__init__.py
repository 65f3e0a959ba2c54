"""Stream datasets: settings, sources, their mixture, the plan, and writing shards.

May import `lib.arc` and `lib.text`. numpy is imported where records are made, so that a plan needs none.
"""
