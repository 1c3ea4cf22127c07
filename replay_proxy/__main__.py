"""The entry for ``python -m replay_proxy``."""

from replay_proxy.cli import main

main()
