"""Recording: an answer is passed on as it comes, and kept when it is whole.

Not in here: the HTTP client, and how an answer is stored.
"""
