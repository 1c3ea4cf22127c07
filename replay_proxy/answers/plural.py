"""A number of things as text, in the singular or the plural. Pure, standard library only."""


def many(number: int, one: str, more: str = "") -> str:
    """``1 take``, ``1,200 takes``."""
    return f"{number:,} {one if number == 1 else more or one + 's'}"
