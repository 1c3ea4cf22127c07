"""The entry for ``uvicorn replay_proxy.main:app``: settings from the environment, or exit 2."""

from replay_proxy.serving.process import create_app

app = create_app()
