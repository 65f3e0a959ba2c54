"""Learn new ARC tasks from their demonstrations, vote, and write a submission.

`adapt` is the workflow, `directory` the run that it works in and finds again, `settings` how that run is trained,
`probe` what a time budget is divided by, `voting` and `submission` the answers.
"""
