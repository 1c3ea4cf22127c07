"""Server-sent events: bytes to events, and when an answer has ended.

Not in here: what the events of an API mean, and I/O.
"""
