"""Definitions of mocking tools: what a request is matched by, and what it is answered with.

A definition is carried over if what it matches is one whole request.

Not in here: recordings without rules (``vcr``, ``traces``).
"""
