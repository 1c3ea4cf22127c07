"""Adding recordings to cassettes: the writer's thread, the takes, and the ids of rows.

Not in here: what a row holds (``sqlite``), and SQLite files as such (``files``).
"""
