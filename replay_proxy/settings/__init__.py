"""The settings: one frozen model, and the only reader of the environment.

Built once at the entry and passed down. A setting that is unknown, wrong or contradicts another
raises ``ConfigurationError`` with its name and the remedy; nothing starts on a guess.

Not in here: what a setting changes.
"""

from replay_proxy.settings.loading import load
from replay_proxy.settings.model import Settings
from replay_proxy.settings.values import Mode, OnMiss, Repeats, cassette_name

__all__ = ["Mode", "OnMiss", "Repeats", "Settings", "cassette_name", "load"]
