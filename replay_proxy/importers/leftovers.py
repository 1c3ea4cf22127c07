"""Parts of a request or an answer that a reader must not leave unread.

Formats resemble each other, and tools add keys of their own: a reader that only takes what it knows
could carry over a request without its query, or an answer without its body. An exchange is carried
over whole, or the part that would be lost is named.

Not in here: values under keys that a reader knows (``shapes``).
"""

import re
from collections.abc import Mapping

from replay_proxy.importers.exchange import Misshapen

#: Parts of the names of keys that hold something that is sent, or say how it is written.
_MEANINGFUL = re.compile(
    r"body|content|header|payload|data|text|json|form|field|file|param|query|\Aqs\Z|search|multipart|part"
    r"|post|raw|blob|binary|base64|b64|hex|encod|compress|gzip|chunk|stream|event",
    re.IGNORECASE,
)
#: Names of keys that only repeat what a header or the body says.
_REPEATED = re.compile(
    r"content.?(?:length|type|size)|transfer.?encoding|uncompressed|(?:body|text).?(?:size|length)"
    r"|(?:body|content).?(?:hash|sha\d*|md5|digest)|(?:is.?)?stream(?:ed|ing)?|headers?.?(?:size|length)",
    re.IGNORECASE,
)
#: Values of such keys that change nothing.
_PLAIN = frozenset({"utf-8", "utf8", "us-ascii", "ascii", "identity", "text", "string", "plain"})


def refuse_unread(part: Mapping[object, object], read: str, what: str) -> None:
    """Raise ``Misshapen`` for a key that may hold a part of ``what`` and is not among ``read``.

    ``read`` has the names of the keys that the format has, as words.
    """
    for key, value in part.items():
        name = str(key)
        if not value or name in read.split() or _REPEATED.fullmatch(name):
            continue
        if isinstance(value, str) and value.lower() in _PLAIN:
            continue
        if _MEANINGFUL.search(name):
            raise Misshapen(
                f"{what} has the key {name}, which this format does not have: "
                "its content would be lost"
            )
