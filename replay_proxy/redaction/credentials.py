"""Which fields carry a credential, by their names, and a query without them. Pure.

Names are compared by their words, so that ``x-api-key``, ``apiKey``, ``API_KEY`` and ``api%5Fkey``
are one name. In here: the words of the issuers. Not in here: what is stored or shown of a field.
"""

import re
from functools import lru_cache
from urllib.parse import quote

from replay_proxy.redaction.forms import decoded, digest, has_form, is_opaque, word_list

#: Characters of a name that count: its last ones.
_NAME_CHARS = 200
#: Where words of a name meet: ``apiKey``, ``AWSKey``, ``api-key``, ``auth[key]``.
_BORDERS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[^A-Za-z0-9]+")

#: Words that make a name that of a credential, whatever the other words are.
_SECRET_WORD = re.compile(
    r"""secrets? | passwords? | passwd | pwd | p?pw | pswd? | passphrase | passcode | credentials?
    | creds? | (?:un)?authori[sz]ation | authentication | o?auth[2zn]? | bearer | jw[ts] | cookies?
    | [cx]srf | verifier | bypass | [a-z]{1,2}key | passkeys? | (?:re)?captcha | turnstile
    | mfa | [2t]fa | otc | saml(?:request|response|art) | (?:user|db|root|admin|login)pass
    | (?:aws)?accesskeyid | googleaccessid
    | signatures? | sig | hmac | assertion | saml | otp | totp | (?:j|php|asp)?sess(?:ion)?id
    | sid
    | [a-z]*(?:secret | password | passwd | passphrase | credential | authorization | cookie)
    | [a-z]*(?:api|access|secret|private|subscription|auth|master|signing|shared|account|function
        |functions|license|encryption|host)keys?
    | [a-z]*(?:access|auth|oauth|refresh|session|security|bearer|api|id|csrf|xsrf|private)tokens?
    """,
    re.VERBOSE,
)
#: Words before ``key`` in the names of keys that give access.
_OPENING = frozenset(
    word_list(
        """
    api access secret private master admin service subscription function functions host shared
    account client session signing encryption license licence app application consumer storage
    auth virtual team user vault portkey litellm helicone openai anthropic azure google gemini
    mistral groq xai cohere deepseek perplexity openrouter huggingface aws gcp ssh ssl tls rsa
    pgp deploy integration webhook proxy provider upstream model root
    """
    )
)
#: Words before ``token`` in the names of places in a list and of units of text.
_PLACES = frozenset(
    word_list(
        """
    page next previous prev continuation continue skip sync delta cursor start end after
    before resume offset marker list pagination scroll watch change max min stop num count
    total eos bos pad unk special mask prompt completion input output logprob sampling cached
    reasoning first last per idempotency text image audio
    """
    )
)
#: Words before ``key`` in the names of keys that do not give access.
_ORDERS = frozenset(
    word_list(
        """
    cache sort partition idempotency surrogate primary foreign limit ratelimit group order row
    object websocket public filter metadata hash index
    """
    )
)
#: Last words of names that are about a credential and do not hold one.
_ABOUT = frozenset(
    word_list(
        """
    count limit remaining reset len length size budget usage used cost spend type status
    method methods mode scheme required enabled supported expires expiry expiration ttl at in
    url uri endpoint name description title format alg algorithm version reason message error
    scope scopes level tier ms seconds tokens period
    """
    )
)
#: Words after ``pass`` in the names of credentials.
_AFTER_PASS = frozenset(["word", "phrase", "code"])
#: Words before ``code`` in the names of codes that give access.
_CODES = frozenset(
    word_list(
        """
    auth authorization device user access security verification verify login invite invitation
    activation redeem recovery backup reset pairing pin one time app
    """
    )
)
#: Words before ``pass`` in the names of something else.
_PASSING = frozenset(word_list("low high band single multi two first second per by"))
#: Words that end in ``key`` and do not mean a key.
_NO_KEYS = re.compile(r"mon|tur|hoc|joc|don|whis|hot|hus|cac?h?e|sort|sur|order|row|index|group")
#: Words for a user or a session: a value that could be a credential may be one.
_WHO = frozenset(
    word_list(
        """
    session sessions sess ticket tickets nonce user username login email mail account customer
    identity principal subject license licence challenge state pin hash mac hdnts hdnea policy
    guid device fingerprint relaystate wresult salt
    """
    )
)
#: Last words of names whose values look like credentials, and are ids, places or parameters.
_DATA = frozenset(
    word_list(
        """
    id ids after before cursor page offset limit order sort marker continuation model models
    version purpose include filter query search prompt input text type status format start end
    time date from to since until at lang language locale voice size quality name q top skip
    select expand fields alt path file files etag checksum commit revision
    """
    )
)
_ACCOUNT = frozenset(["organization", "organisation", "org", "project", "tenant"])
_NUMBERING = frozenset(["id", "ids", "uuid", "number", "no"])
#: Fields that sign a URL for one of the clouds.
_SIGNING = re.compile(
    r"x-(?:amz|goog|oss|cos|obs|tos|bce)-|q-(?:sign|ak|key)|sk[ot]id$", re.IGNORECASE
)
#: Names that are used for credentials, for places in a list and for error codes.
_EITHER = frozenset({("token",), ("code",), ("session", "id")})
#: Characters of the shortest credential that any issuer gives out.
SHORTEST = 12
_TOKEN = re.compile(rf"[A-Za-z0-9._~+/=:-]{{{SHORTEST},}}")
#: A field beside which ``token`` is a place in a list.
_PAGING = re.compile(
    r"(?:^|[&;])(?:page|(?:per|in)[-_]?page|page[-_]?(?:size|number)|max[-_]?results|limit|order"
    r"|offset|cursor|after|before|sort|(?:order|sort)[-_]?by|(?:starting|ending)[-_](?:after|before)"
    r")=",
    re.IGNORECASE,
)
#: A field of a URL in a text, and the user in a URL.
_URL_FIELD = re.compile(r"""([?&\#;]([^?&\#;=\s<>"',]+)=)([^&\#;\s<>"',]+)""")
_URL_USER = re.compile(r"(?<=://)[^/?\#\s@<>\"]*@")


@lru_cache(maxsize=4096)
def words_of(name: str) -> tuple[str, ...]:
    """The words of a name in lower case, without the digits at their ends."""
    return tuple(filter(None, (word.lower().rstrip("0123456789") for word in _BORDERS.split(name))))


@lru_cache(maxsize=4096)
def is_secret(name: str) -> bool:
    """Whether a field of this name holds a credential, wherever it is, also in a body."""
    words = words_of(name[-_NAME_CHARS:])
    if not words or words[-1] in _ABOUT:
        return False
    for before, word in zip(("", *words), words, strict=False):
        if _SECRET_WORD.fullmatch(word):
            return True
        if word in ("key", "keys") and before in _OPENING:
            return True
        if word == "token" and before and before not in _PLACES:
            return True
        if word.endswith("token") and len(word) > 5 and not _is_place(word[:-5]):
            return True
        if before == "pass" and word in _AFTER_PASS:
            return True
        if word == "code" and before in _CODES:
            return True
    if words[-1] == "pass":
        return not _PASSING.intersection(words[-2:-1])
    if words[-2:] == ("login", "hint"):
        return True
    return words[-1] in _NUMBERING and _is_account(words)


def is_secret_or_account(name: str) -> bool:
    """The same for a query or a header, where also any key, user or account counts."""
    words = words_of(name[-_NAME_CHARS:])
    return (
        is_secret(name)
        or (words[-1:] in (("key",), ("keys",)) and not _ORDERS.intersection(words[-2:-1]))
        or (words[-1:] and re.fullmatch("[a-z]+key", words[-1]) and not _NO_KEYS.match(words[-1]))
        or _is_account(words)
    )


def _is_place(prefix: str) -> bool:
    """Whether ``prefix`` and ``token`` are the name of a place in a list, such as ``nextpage``."""
    return any(prefix.endswith(place) for place in _PLACES)


def _is_account(words: tuple[str, ...]) -> bool:
    rest = words[:-1] if words and words[-1] in _NUMBERING else words
    return bool(_ACCOUNT.intersection(rest[-1:]))


def is_secret_value(name: str, value: str) -> bool:
    """Whether a value of this name is a credential, if the name alone does not show it."""
    return words_of(name[-_NAME_CHARS:]) in _EITHER and _TOKEN.fullmatch(value) is not None


def without_credentials(query: str) -> str:
    """The query without the values of fields that carry a credential.

    The result is stored and matched: the same request with another key is the same request.
    If the name does not show it, and the value could be a credential, the value is replaced by a
    digest, so that requests that differ in it stay different. ``token`` and ``code`` hold a
    credential if the value could be one (``SHORTEST``), unless another field, such as ``limit``,
    shows that a list is read.
    """
    return _without_credentials(query) if query else query


@lru_cache(maxsize=256)
def _without_credentials(query: str) -> str:
    lists = _PAGING.search(query) is not None
    pieces = re.split("([&;])", query)
    pieces[::2] = [_without_credential(piece, lists) for piece in pieces[::2]]
    return "".join(pieces)


def _without_credential(field: str, lists: bool) -> str:
    """A field of a query; ``lists`` is whether another field shows that a list is read."""
    written, equals, value = field.partition("=")
    if not equals:
        plain = decoded(field)
        return "" if has_form(plain) else digest(field) if is_opaque(plain) else field
    name, plain = decoded(written), decoded(value)
    if (
        is_secret_or_account(name)
        or _SIGNING.match(name)
        or (is_secret_value(name, plain) and not lists)
        or has_form(plain)
    ):
        return f"{written}="
    cleaned = without_url_credentials(f"?{plain}")[1:]
    value = value if cleaned == plain else quote(cleaned, safe="")
    return f"{written}={digest(value) if _may_be_secret(name, cleaned) else value}"


def _may_be_secret(name: str, value: str) -> bool:
    """Whether a value may be a credential although neither its name nor its form shows it."""
    words = words_of(name[-_NAME_CHARS:])
    if _WHO.intersection(words) and words[-1] not in _ABOUT:
        return len(value) >= SHORTEST or "@" in value
    known = bool(words) and (words[-1] in _DATA or words[-1].endswith("token"))
    return not known and is_opaque(value)


def without_url_credentials(text: str) -> str:
    """A text without the users and the credential fields of the URLs in it."""
    if "=" in text and ("?" in text or "#" in text or "&" in text or ";" in text):
        text = _URL_FIELD.sub(_without_value, text)
    return _URL_USER.sub("", text) if "@" in text else text


def _without_value(field: re.Match[str]) -> str:
    return field[1] + _without_credential(f"{field[2]}={field[3]}", False).partition("=")[2]
