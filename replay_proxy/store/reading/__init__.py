"""Looking up recorded answers, for a replay in progress.

Not in here: what a row holds (``sqlite``), and SQLite files as such (``files``).
"""
