"""Which requests are admitted at all: by the names of the proxy, and by the page that sends them.

Not in here: what answers them.
"""
