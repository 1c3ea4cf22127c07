"""The tokens of a request, as chat completions and completions report them.

In here: the object ``usage``, and the names of service tiers. Not in here: what counts as a token
(``units``).
"""

from typing import Any


def usage(prompt_tokens: int, tokens: int, reasoning_tokens: int | None) -> dict[str, Any]:
    """The object ``usage``. It has details only for a reasoning model."""
    fields: dict[str, Any] = {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": tokens,
        "total_tokens": prompt_tokens + tokens,
    }
    if reasoning_tokens is not None:
        fields["prompt_tokens_details"] = {"cached_tokens": 0, "audio_tokens": 0}
        fields["completion_tokens_details"] = {
            "reasoning_tokens": reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        }
    return fields


def served_tier(tier: str) -> str:
    """The tier that serves a request. ``auto`` is the project's tier: here, the default."""
    return "default" if tier == "auto" else tier
