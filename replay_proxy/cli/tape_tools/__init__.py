"""The tape tools: commands that look at cassettes, check, compare and change them.

One file a tool, with what it computes and what it prints. Nothing here answers a request.
"""
