"""When the dummy's tokens are due: distributions, load, and latencies fitted to recordings.

Not in here: what is sent (``endpoints``, ``sayings``).
"""
