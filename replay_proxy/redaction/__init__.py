"""What may be stored of a message, and what may be shown of a text: without credentials.

Not in here: I/O, and who stores or shows it.
"""
