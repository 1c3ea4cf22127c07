"""Which headers of an answer are stored: all that are not known, or likely, to carry a credential.

Pure. A replayed answer has the recorded headers, so an allow-list would lose harmless ones that
nobody has thought of; a deny-list alone would let the credentials of the next issuer pass.
Hence three kinds (docs/decisions/0013): names that mean a credential or an account are left out;
known names are kept; any other is kept unless its value could be a credential. Inside any value, a
text after the name of a credential is left out.
"""

import re
from enum import Enum
from functools import lru_cache

from replay_proxy.redaction.assignments import REDACTED, without_assigned
from replay_proxy.redaction.credentials import (
    SHORTEST,
    is_secret_or_account,
    without_url_credentials,
    words_of,
)
from replay_proxy.redaction.forms import has_form, is_opaque, word_list
from replay_proxy.wire import Headers


class HeaderKind(Enum):
    """What a header is, by its name."""

    CREDENTIAL = "credential"
    #: Kept whatever the value is: ids of requests look like keys.
    KNOWN = "known"
    #: A URL: kept, without the credentials in its query.
    URL = "url"
    UNKNOWN = "unknown"


#: Words of a name that mean a user or a session, besides those of ``credentials``.
_WHO = frozenset(
    word_list(
        """
    session sessions sid user users userid username email mail principal identity account
    customer consumer subscriber subscription member team workspace login subject impersonate
    oidc cert certificate ticket nonce uploadid token tokens dpop appcheck
    """
    )
)
#: Words in the names of quantities, mostly together with ``tokens``.
_MEASURES = frozenset(
    word_list(
        """
    ratelimit limit remaining reset count num len length size cost spend usage used budget
    total rate renewalperiod seconds latency duration processing prompt completion cached
    input output reasoning sampling generated chars per
    """
    )
)
#: Names whose values may look like credentials, and never are.
_KNOWN_NAMES = frozenset(
    b"access-control-allow-credentials access-control-allow-headers access-control-expose-headers "
    b"access-control-allow-origin alt-svc azureml-model-session cache-control cache-status "
    b"cf-cache-status cf-ray content-digest content-disposition content-encoding content-language "
    b"content-length content-range content-security-policy "
    b"content-security-policy-report-only content-type date etag expires last-modified "
    b"nel openai-model openai-processing-ms openai-version permissions-policy repr-digest "
    b"report-to retry-after retry-after-ms server server-timing strict-transport-security "
    b"traceparent tracestate user-agent vary via www-authenticate x-amz-cf-id x-amz-cf-pop "
    b"x-amz-id-2 x-azure-ref x-build-commit x-cache x-cache-key x-cloud-trace-context "
    b"x-content-type-options x-envoy-upstream-service-time x-frame-options x-msedge-ref "
    b"x-openai-proxy-wasm x-ratelimit-key x-ratelimit-limit-requests x-ratelimit-limit-tokens "
    b"x-ratelimit-remaining-requests x-ratelimit-remaining-tokens x-ratelimit-reset-requests "
    b"x-ratelimit-reset-tokens x-request-id x-vercel-id x-xai-model-address".split()
)
#: Known names whose values are texts, which may contain names and values.
_TEXTS = frozenset(
    b"cache-control cache-status content-disposition content-language content-security-policy "
    b"content-security-policy-report-only nel permissions-policy report-to server server-timing "
    b"strict-transport-security tracestate user-agent vary via www-authenticate "
    b"x-xai-model-address".split()
)
#: Headers with addresses for reports on the connection; a field in them looks like a credential.
_REPORTS = frozenset({b"nel", b"report-to"})
_PLAIN = _KNOWN_NAMES - _TEXTS
#: The credential after a scheme of authentication without parameters.
_TOKEN68 = re.compile(
    r"((?:Basic|Bearer|Digest|Negotiate|NTLM|Token) +)[\w.~+/-]{12,}=*(?=\s*(?:,|$))", re.IGNORECASE
)
_ID = re.compile(r"id$|(?:^|-)(?:hash|etag|checksum|digest|commit|version|build|revision|model)$")
_URL = re.compile(r"(?:^|-)(?:location|link|ur[li]|href|refresh|asyncoperation|redirect)$")


@lru_cache(maxsize=4096)
def kind_of(name: bytes) -> HeaderKind:
    """The kind of an answer's header, by its name in lower case."""
    if name in _KNOWN_NAMES:
        return HeaderKind.KNOWN
    text = name.decode("latin-1")
    words = words_of(text)
    # Proxies add prefixes, such as ``llm_provider-``: each word counts.
    who = _WHO.intersection(words) and not _MEASURES.intersection(words)
    if who or is_secret_or_account(text):
        return HeaderKind.CREDENTIAL
    if _URL.search(text):
        return HeaderKind.URL
    return HeaderKind.KNOWN if _ID.search(text) else HeaderKind.UNKNOWN


def stored_response_headers(headers: Headers) -> Headers:
    """The response headers that may be written to a cassette, names in lower case."""
    stored = (
        header if header[0] in _PLAIN and b"=" not in header[1] else _stored(*header)
        for header in headers
    )
    return tuple(pair for pair in stored if pair is not None)


@lru_cache(maxsize=1024)
def _stored(name: bytes, value: bytes) -> tuple[bytes, bytes] | None:
    """What is stored of a header that is not known by its whole name, or None."""
    kind = kind_of(name)
    if kind is HeaderKind.CREDENTIAL or name.startswith(b"x-replay-"):  # Another replay-proxy's.
        return None
    text = value.decode("latin-1")
    if len(text) >= SHORTEST:
        if name not in _REPORTS:
            text = without_url_credentials(text)
        text = without_assigned(text)
    text = _TOKEN68.sub(rf"\1{REDACTED}", text)
    if has_form(text) or (kind is HeaderKind.UNKNOWN and is_opaque(text)):
        return None
    return name, text.encode("latin-1")
