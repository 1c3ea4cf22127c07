"""Looking recorded answers up, for a replay that is under way.

Not in here: what a row holds (``sqlite``), and SQLite files as such (``files``).
"""
