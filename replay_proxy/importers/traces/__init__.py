"""Traces of HTTP traffic: what a browser, a proxy or a client's transport has written down.

Not in here: cassettes of VCR and its successors (``vcr``), and definitions of mocks (``mocks``).
"""
