"""A base class for the transports of tests, with nothing to close or rewind."""


class SimpleTransport:
    async def aclose(self, drain_s: float | None = None) -> None:
        pass

    def rewind(self) -> None:
        pass
