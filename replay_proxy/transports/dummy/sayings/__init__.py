"""What the dummy says: text, tool calls, and their units.

Not in here: the form of an endpoint's body (``endpoints``), and time (``timing``).
"""
