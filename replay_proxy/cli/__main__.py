"""``python -m replay_proxy.cli``, which git configurations call."""

from replay_proxy.cli import main

main()
