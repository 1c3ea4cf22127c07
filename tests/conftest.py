"""Make SIGINT, SIGQUIT and SIGHUP end the tests' child processes.

A shell makes background commands ignore SIGINT and SIGQUIT, and nohup makes them ignore SIGHUP;
child processes inherit that.
"""

import signal

for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(number) is signal.SIG_IGN:
        ends = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, ends)
