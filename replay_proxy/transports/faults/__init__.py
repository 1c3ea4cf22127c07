"""Faults, on purpose and repeatable: what goes wrong between a client and an API, over every mode.

A fault is one function in one table (``table``); a script says which requests meet which
(``script``); ``Faulty`` wraps any transport; ``Limited`` keeps the rates of each key. They act on
the client's side alone: what is recorded is what the API answered.
"""

from replay_proxy.transports.faults.limits import Limited, Limits
from replay_proxy.transports.faults.script import Script
from replay_proxy.transports.faults.table import FAULTS, kind_of
from replay_proxy.transports.faults.transport import REMEMBERED, Faulty, Remembered

__all__ = [
    "FAULTS",
    "REMEMBERED",
    "Faulty",
    "Limited",
    "Limits",
    "Remembered",
    "Script",
    "kind_of",
]
