"""Deliberate, repeatable faults: failures between a client and an API, in every mode.

A fault is one function in one table (``table``); a script says which requests get which fault
(``script``); ``Faulty`` wraps any transport; ``Limited`` keeps the rates of each key.

Not in here: what is recorded. Faults act on the client's side only.
"""

from replay_proxy.transports.faults.limits import Limited, Limits
from replay_proxy.transports.faults.script import Script
from replay_proxy.transports.faults.table import FAULTS, kind_of
from replay_proxy.transports.faults.transport import HEADER_SCRIPTS, Faulty, HeaderScripts

__all__ = [
    "FAULTS",
    "HEADER_SCRIPTS",
    "Faulty",
    "HeaderScripts",
    "Limited",
    "Limits",
    "Script",
    "kind_of",
]
