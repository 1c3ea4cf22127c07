"""Values that fit a JSON Schema, drawn at random.

Not in here: reading a schema from a request, and any other text (``endpoints``, ``sayings``).
"""
