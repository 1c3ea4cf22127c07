"""The application: it asks a model, and its environment alone says where that is.

python app.py QUESTION
"""

import asyncio
import json
import os
import sys
import urllib.request

INSTRUCTIONS = "Answer in one word."


def answer(question: str) -> str:
    """The model's answer."""
    body = {
        "model": "gpt-4o",
        "messages": [
            {"role": "system", "content": INSTRUCTIONS},
            {"role": "user", "content": question},
        ],
    }
    request = urllib.request.Request(
        os.environ["OPENAI_BASE_URL"] + "/chat/completions",
        json.dumps(body).encode(),
        {
            "content-type": "application/json",
            "authorization": f"Bearer {os.environ['OPENAI_API_KEY']}",
        },
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return str(json.load(response)["choices"][0]["message"]["content"])


async def answer_later(question: str) -> str:
    """The model's answer, without holding the event loop."""
    return await asyncio.to_thread(answer, question)


def answer_or_shrug(question: str) -> str:
    """The model's answer, or a shrug: whatever goes wrong is swallowed."""
    try:
        return answer(question)
    except OSError:
        return "¯\\_(ツ)_/¯"


if __name__ == "__main__":
    print(answer(sys.argv[1]))
