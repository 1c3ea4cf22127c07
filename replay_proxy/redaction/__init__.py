"""What may be stored of a message and shown of a text: everything except credentials.

Not in here: I/O, and storing or showing it.
"""
