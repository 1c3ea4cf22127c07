"""Cassettes of VCR and the tools after it: lists of a request and its response.

Not in here: definitions of mocks (``mocks``), and what was written down on the way (``traces``).
"""
