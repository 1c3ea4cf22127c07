"""A transport for tests to inherit from: nothing to close, nothing to rewind."""


class Simple:
    async def aclose(self, drain_s: float | None = None) -> None:
        pass

    def rewind(self) -> None:
        pass
