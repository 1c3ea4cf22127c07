"""What keeps one request from holding up or exhausting the process: budgets, threads, processes.

Not in here: what is done within them.
"""
