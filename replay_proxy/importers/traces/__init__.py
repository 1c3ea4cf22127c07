"""Traces of HTTP traffic: what a browser, a proxy or a client's transport has written down.

Not in here: cassettes of the tools after VCR (``vcr``), and definitions of mocks (``mocks``).
"""
