"""The tape tools: commands that look at cassettes, check, compare and change them.

One file per tool, with what it computes and what it prints.

Not in here: SQL (``store``), and what answers a request.
"""
