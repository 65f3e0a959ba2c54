"""Answer the tasks: by votes under augmentation, or from demonstrations alone; write the submission.

`voting` loads what was learnt and votes, `demonstrated` answers without learning, `testing` scores what is known,
`submission` is the file.
"""
