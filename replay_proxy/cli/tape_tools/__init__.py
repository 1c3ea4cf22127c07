"""The tape tools: commands that show, check, compare and change cassettes, one file per command.

Not in here: SQL (``store``), and what answers a request.
"""
