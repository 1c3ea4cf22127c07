"""Equality of requests: the fingerprint, the rules, and how a miss is explained.

Not in here: where recordings are kept, and what an answer says.
"""
