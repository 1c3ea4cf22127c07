"""What keeps one request from blocking or exhausting the process: budgets, threads, processes.

Not in here: the work that they bound.
"""
