"""Reading answers afterwards: as data, as text, compared with others, searched for credentials.

Not in here: the path of a live answer, I/O, and whether two requests are equal.
"""
