"""What every test has: children that ^C can end.

A shell lets what it starts in the background ignore SIGINT, and their children inherit that.
"""

import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
