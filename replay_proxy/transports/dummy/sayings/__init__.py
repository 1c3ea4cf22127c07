"""What the dummy says: text, tool calls, and their units.

Not in here: the shape of an endpoint's body, and time.
"""
