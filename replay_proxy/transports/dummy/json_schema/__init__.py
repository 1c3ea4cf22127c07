"""Values that fit a JSON Schema, drawn at random.

Not in here: any endpoint.
"""
