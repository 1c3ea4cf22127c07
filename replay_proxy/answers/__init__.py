"""Answers read afterwards: as data, as text, against each other, and in search of credentials.

Not in here: the path of a live answer, I/O, and whether two requests are equal.
"""
