"""The dummy's endpoints, one file each, and the bodies that they write.

Not in here: what an answer says, and when it is sent.
"""
