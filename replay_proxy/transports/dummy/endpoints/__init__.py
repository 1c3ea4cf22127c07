"""The dummy's endpoints, one file each, and the JSON and events of their answers.

Not in here: what an answer says (``sayings``), and when it is sent (``timing``).
"""
