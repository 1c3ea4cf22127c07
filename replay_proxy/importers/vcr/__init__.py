"""Cassettes of VCR and its successors: lists of requests with their responses.

Not in here: definitions of mocks (``mocks``), and traces of HTTP traffic (``traces``).
"""
