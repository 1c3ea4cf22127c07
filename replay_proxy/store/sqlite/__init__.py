"""The format of a cassette: its tables, statements and rows.

Not in here: which file it is, and when it is read or written.
"""
