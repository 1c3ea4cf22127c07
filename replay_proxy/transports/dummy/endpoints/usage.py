"""What a request took: its tokens, as chat completions and completions count them.

In here: the object ``usage``, and the names of service tiers. Not in here: what counts as a token
(``units``).
"""

from typing import Any


def usage(prompt_tokens: int, tokens: int, reasoning_tokens: int | None) -> dict[str, Any]:
    """The object; a model that does not think has no details to tell."""
    told: dict[str, Any] = {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": tokens,
        "total_tokens": prompt_tokens + tokens,
    }
    if reasoning_tokens is not None:
        told["prompt_tokens_details"] = {"cached_tokens": 0, "audio_tokens": 0}
        told["completion_tokens_details"] = {
            "reasoning_tokens": reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        }
    return told


def served_tier(asked: str) -> str:
    """The tier that serves a request; ``auto`` leaves it to the project, which has the default."""
    return "default" if asked == "auto" else asked
