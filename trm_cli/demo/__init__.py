"""`trm demo`: a page on this machine where a trained model solves puzzles step by step, and its training is watched.

`subject` says what a run can be asked, `server` answers the page over HTTP, `page.html` is the page: no build step, and
nothing from another host. May import the Python API and what the console shows. Needs the extra `demo`.
"""
