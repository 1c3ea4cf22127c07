"""Filler text: Latin words, drawn at random.

In here: words, phrases and paragraphs. Not in here: how long an answer is.
"""

from random import Random

_TEXT = (
    "lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt ut "
    "labore et dolore magna aliqua enim ad minim veniam quis nostrud exercitation ullamco laboris "
    "nisi aliquip ex ea commodo consequat duis aute irure in reprehenderit voluptate velit esse "
    "cillum eu fugiat nulla pariatur excepteur sint occaecat cupidatat non proident sunt culpa qui "
    "officia deserunt mollit anim id est laborum"
)
WORDS = _TEXT.split()


def phrase(chance: Random) -> str:
    """One to four words."""
    return " ".join(chance.choices(WORDS, k=chance.randint(1, 4)))


def sentences(chance: Random, words: int) -> str:
    """Sentences with ``words`` words in all."""
    text = []
    while words > 0:
        length = min(words, chance.randint(5, 12))
        text.append(" ".join(chance.choices(WORDS, k=length)).capitalize() + ".")
        words -= length
    return " ".join(text)
