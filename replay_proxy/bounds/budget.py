"""``Budget``: a number of bytes that a process may hold at once for one purpose. Pure."""


class Budget:
    """Bytes that are taken before they are held, and given back afterwards."""

    def __init__(self, size: int) -> None:
        self.free = size

    def take(self, size: int) -> bool:
        """Take so many bytes, if that many are free."""
        if size > self.free:
            return False
        self.free -= size
        return True

    def give(self, size: int) -> None:
        """Give so many back."""
        self.free += size
