"""The proxy as a child process, for the pytest plugin and ``replay-proxy run``.

Not in here: the judgement of what the child has answered.
"""
