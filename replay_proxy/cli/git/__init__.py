"""git for cassettes: ``git-setup``, ``git-resolve``, and the commands that git calls.

Not in here: tools that need no repository.
"""
