"""``replay-proxy refresh``: sends recorded requests again, and compares the answers.

Not in here: how two answers are compared (``answers.drift``).
"""
