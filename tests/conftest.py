"""What every test has: children that ^C and SIGHUP can end.

A shell lets what it starts in the background ignore SIGINT and SIGQUIT, and nohup SIGHUP; their
children inherit that.
"""

import signal

_ENDING = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGQUIT: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
}
for number, handler in _ENDING.items():
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)
