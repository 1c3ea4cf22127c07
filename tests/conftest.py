"""What every test has: children that ^C and SIGHUP can end.

A shell lets what it starts in the background ignore SIGINT and SIGQUIT, and nohup SIGHUP; their
children inherit that.
"""

import signal

for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(number) is signal.SIG_IGN:
        ends = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, ends)
