"""Everything that answers a request. A mode is how these are nested (``modes``).

Not in here: HTTP towards the client, and files. No transport imports another.
"""
