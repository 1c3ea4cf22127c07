"""Where two texts differ. Pure."""


def around_difference(one: str, other: str, context: int) -> tuple[str, str]:
    """The parts of two texts that differ, with so many characters on either side of them."""
    before, after = common_ends(one, other)
    start = max(0, before - context)
    shown = [
        ("…" if start else "")
        + text[start : len(text) - max(0, after - context)]
        + ("…" if after > context else "")
        for text in (one, other)
    ]
    return shown[0], shown[1]


def common_ends(one: str, other: str) -> tuple[int, int]:
    """How many characters two texts have in common at their beginning, and at their end."""
    before = _common_beginning(one, other)
    if one[-1:] != other[-1:]:
        return before, 0
    rest = min(len(one), len(other)) - before
    return before, min(_common_beginning(one[::-1], other[::-1]), rest)


def _common_beginning(one: str, other: str) -> int:
    """By halving, which compares slices in C: a character at a time takes 30 times as long."""
    if one[:1] != other[:1]:
        return 0
    known, most = 0, min(len(one), len(other))
    while known < most:
        middle = (known + most + 1) // 2
        if one[known:middle] == other[known:middle]:
            known = middle
        else:
            most = middle - 1
    return known
