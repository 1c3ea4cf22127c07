"""``replay-proxy refresh``: recorded requests sent again, and the answers compared.

Not in here: how two answers are compared (``answers.drift``).
"""
