"""git and cassettes: ``git-setup``, and the commands that git calls.

Not in here: tools that need no repository.
"""
