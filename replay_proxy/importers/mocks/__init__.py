"""Definitions of mocking tools: rules that match requests, and their answers.

A definition is carried over if its rules are one whole request.

Not in here: recordings without rules (``vcr``, ``traces``).
"""
