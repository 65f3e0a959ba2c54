"""`trm adapt` on generated tasks: what it learns in a time budget, and what is left of it when it is killed."""
