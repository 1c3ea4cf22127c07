"""Cassettes as files: created whole or not at all, with the journals that belong to them.

Not in here: what is read from them or written to them.
"""
