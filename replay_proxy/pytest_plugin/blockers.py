"""Other tools that block a test's client, and how to let it reach the proxy.

They are recognised by the module that raises an exception; nothing of them is imported. Not in
here: the plugin's own calls, which nothing can block.
"""

from collections.abc import Iterator

_HOST = "127.0.0.1"
#: By the package that raises the exception.
_REMEDIES = {
    "pytest_socket": (
        "pytest-socket blocks it: allow it with --allow-hosts=127.0.0.1, or for one test with "
        '@pytest.mark.allow_hosts(["127.0.0.1"])'
    ),
    "pytest_recording": (
        "pytest-recording blocks it: allow it with --allowed-hosts=127.0.0.1, or for one test with "
        '@pytest.mark.block_network(allowed_hosts=["127.0.0.1"])'
    ),
    "vcr": (
        "vcrpy takes its requests for those that it records itself: let it pass them on with "
        'ignore_localhost=True, which pytest-recording reads from the fixture vcr_config ({"ignore_'
        'localhost": True})'
    ),
    "respx": (
        'respx mocks its requests: let them pass with respx.route(host="127.0.0.1").pass_through()'
    ),
}


def remedy(error: BaseException) -> str:
    """How to let the client that got this error reach the proxy; empty if no tool blocks it."""
    for link in _chain(error):
        package = _package(link)
        # An error of pytest-socket does not always name the host.
        if package in _REMEDIES and (_HOST in str(link) or package == "pytest_socket"):
            return f"replay-proxy answers the test's client on {_HOST}. {_REMEDIES[package]}."
    return ""


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error, and those that led to it or that it groups."""
    left, seen = [error], set()
    while left:
        link = left.pop()
        if id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        left += filter(None, (link.__context__, link.__cause__))
        left += getattr(link, "exceptions", ())


def _package(error: BaseException) -> str:
    """The package of the code that raised the error."""
    trace, package = error.__traceback__, ""
    while trace is not None:
        package = str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
        trace = trace.tb_next
    return package
