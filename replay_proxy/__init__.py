"""replay-proxy: a record-and-replay OpenAI proxy with a dummy fallback."""

__version__ = "0.1.0"
