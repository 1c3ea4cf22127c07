"""The format of a cassette: its tables, its statements, its rows.

Not in here: which file it is, and when it is read or written.
"""
