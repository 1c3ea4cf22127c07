"""``Budget``: the bytes that a process may hold at once for one purpose. Pure."""


class Budget:
    """Bytes that are taken before memory is used, and given back afterwards."""

    def __init__(self, size: int) -> None:
        self.free = size

    def take(self, size: int) -> bool:
        """Take ``size`` bytes, if they are free."""
        if size > self.free:
            return False
        self.free -= size
        return True

    def give(self, size: int) -> None:
        """Give ``size`` bytes back."""
        self.free += size
