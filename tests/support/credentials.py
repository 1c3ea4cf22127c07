"""Credentials as clients and issuers send them, each with a unique value to search for."""

import json
from collections.abc import Iterable
from itertools import count

_numbers = count(100)


def _value() -> str:
    """A credential without a known form: only the name of its field shows what it is."""
    return f"pLaNtEd{next(_numbers)}ZqXw81vK"


def _each(names: str) -> list[tuple[str, str]]:
    return [(name, _value()) for name in names.split()]


#: Headers of requests. Only an allow-list is stored.
REQUEST_HEADERS = _each(
    """
    authorization proxy-authorization api-key x-api-key ocp-apim-subscription-key x-goog-api-key
    cookie openai-organization openai-project x-amz-security-token cf-access-client-secret
    helicone-auth x-portkey-api-key idempotency-key referer x-auth-token x-custom
    """
)
#: Fields of queries, with and without percent-encoding.
QUERY_FIELDS = _each(
    """
    key api-key api_key apikey apiKey APIKEY x-api-key X-API-Key subscription-key
    Ocp-Apim-Subscription-Key subscription_key access_token accessToken auth_token id_token
    refresh_token session_token token code sig signature Signature X-Amz-Signature
    X-Amz-Credential X-Amz-Security-Token X-Goog-Signature X-Goog-Credential AWSAccessKeyId
    client_secret clientSecret secret password passwd auth authorization Authorization bearer jwt
    organization organization_id org_id project project_id openai-project x-functions-key
    api%2Dkey api%5Fkey %61pi_key api%2dKEY subscription%2Dkey x%2Dapi%2Dkey client%5Fsecret
    access%5Ftoken X%2DAmz%2DSignature %74oken api%252Dkey headers[authorization] auth[api_key]
    auth%5Bkey%5D user_key app_key secret_key oauth_token oauth_signature connection_secret
    pass pw pswd userpass passkey pass_word passcode authz authn code_verifier auth_code
    device_code verification_code otp totp mfa_code 2fa skey ikey wskey hapikey devkey
    x-vercel-protection-bypass bypass login_hint id_token_hint usertoken xtoken login_token
    g-recaptcha-response cf-turnstile-response SAMLResponse X-Plex-Token
    """
)
#: Fields whose names do not decide: a digest is stored, so other values make other requests.
DIGESTED_FIELDS = _each(
    """
    ticket session nonce state license licence challenge user username email subject hash hdnts
    policy appid x-custom foo v guid ticket%5Fno Session my.thing a[b] device RelayState
    """
)
_HEX = "0a1b2c3d4e5f6789"
_ANY = "aB3dE5fG7hJ9kL1m"
#: Credentials that their form identifies, in any place.
FORMS = (
    f"""
    sk-{_ANY * 3} sk-proj-{_ANY * 3} sk-svcacct-{_ANY * 3} sk-admin-{_ANY * 3}
    sk-ant-api03-{_ANY * 4}
    sk-or-v1-{_HEX * 4} sess-{_ANY * 2}aB3dE5fG ek_{_HEX * 2} AIzaSy{_ANY * 2}3 gsk_{_ANY * 3}
    xai-{_ANY * 4} pplx-{_ANY * 3} hf_{_ANY * 2} api_org_{_ANY * 2} ghp_{_ANY * 2}aB3d
    ghs_{_ANY * 3}
    github_pat_{_ANY * 4} AKIAIOSFODNN7EXAMPLE ASIAIOSFODNN7EXAMPLE xoxb-{_ANY * 2}
    xapp-1-{_ANY * 2}
    eyJ{_ANY}.eyJ{_ANY}.{_ANY * 2} org-{_ANY}aB3dE5fG proj_{_ANY}aB3dE5fG sk-lf-{_HEX}-{_HEX}-ab
    lsv2_pt_{_HEX * 2}_0a1b2c3d4e r8_{_ANY * 2}aB3dE fw_{_ANY}aB3dE5fG csk-{_HEX * 3}
    nvapi-{_ANY * 4} tgp_v1_{_ANY * 3} pa-{_ANY * 3} jina_{_ANY * 4} tvly-{_ANY * 2} pcsk_{_ANY * 4}
    esecret_{_ANY * 2} sk_{_HEX * 3} dapi{_HEX * 2} ya29.{_ANY * 3} GOCSPX-{_ANY}aB3dE5fG7hJ9
    1//0{_ANY * 3} aB38Q~{_ANY * 2}a sk_live_{_ANY * 2} rk_test_{_ANY * 2} whsec_{_ANY * 2}
    glpat-{_ANY}aB3d glrt-{_ANY}aB3d npm_{_ANY * 2}aB3d pypi-{_ANY * 4} SG.{_ANY}aB3.{_ANY * 3}
    key-{_HEX * 2} shpat_{_HEX * 2} dop_v1_{_HEX * 4} sbp_{_HEX * 2}0a1b2c3d sb_secret_{_ANY * 2}
    ntn_{_ANY * 3} lin_api_{_ANY * 2}aB3dE5fG ATATT3{_ANY * 5} 123456789:AA{_ANY * 2}a
    NRAK-{_HEX.upper()}0A1B2C3D4E5 dp.pt.{_ANY * 3} hvs.{_ANY * 2} {_ANY[:14]}.atlasv1.{_ANY * 4}
    PMAK-{_HEX}0a1b2c3d-{_HEX * 2}0a pscale_pw_{_ANY * 3} sntryu_{_HEX * 4} sq0csp-{_ANY * 2}
    figd_{_ANY * 3} glsa_{_ANY * 2}_0a1b2c3d dckr_pat_{_ANY}aB3dE5fG7hJ rubygems_{_HEX * 3}
    phx_{_ANY * 3} AGE-SECRET-KEY-1{_HEX.upper() * 3}0A1B2C3D4E
    """
).split()
#: Headers of answers, by issuer.
ANSWER_HEADERS = _each(
    """
    set-cookie set-cookie2 authorization proxy-authentication-info authentication-info api-key
    x-api-key apikey x-auth-token x-access-token x-refresh-token x-id-token x-session-token
    x-session-id x-csrf-token x-xsrf-token ocp-apim-subscription-key x-functions-key
    x-ms-token-aad-access-token x-ms-client-principal x-ms-authorization-auxiliary
    x-amz-security-token x-amzn-oidc-data x-amzn-oidc-accesstoken x-amzn-oidc-identity
    x-goog-api-key x-goog-iam-authorization-token x-vault-token private-token x-gitlab-token
    x-github-token x-shopify-access-token cf-access-jwt-assertion cf-access-token
    cf-access-client-secret x-forwarded-access-token x-auth-request-access-token
    x-auth-request-user x-auth-request-email x-forwarded-user x-user-id x-account-id x-tenant-id
    x-org-id openai-organization openai-project anthropic-organization-id x-consumer-username
    x-credential-identifier helicone-auth x-portkey-api-key x-litellm-key x-hub-signature-256
    llm_provider-openai-organization llm_provider-set-cookie x-client-secret x-password dpop
    dd-api-key xi-api-key x-rapidapi-proxy-secret x-jwt x-bearer x-ticket openai-ephemeral-user-id
    x-nobody-knows-this
    """
)
#: Texts in headers of answers: the header is stored, without the value at a credential's name.
ANSWER_TEXTS = [
    (name, form.replace("*", value), value)
    for name, form in (
        ("server-timing", 'db;desc="api_key=*", app;dur=2'),
        ("server-timing", "api_key=*;dur=2"),
        ("www-authenticate", 'Bearer realm="x", api_key="*"'),
        ("www-authenticate", "Negotiate *=="),
        ("content-disposition", 'attachment; filename="api_key=*.txt"'),
        ("content-disposition", "attachment; filename=a; client_secret=*"),
        ("content-security-policy", "report-uri https://x.example/?sig=*"),
        ("via", "1.1 proxy (access_token=*)"),
        ("server", "gateway password: *"),
        ("cache-status", "edge; auth=*"),
        ("tracestate", "auth_token=*"),
        ("alt-svc", "h3; api_key=*"),
        ("etag", '"api_key=*"'),
        ("x-request-id", "api_key=*"),
        ("x-build-version", "password=*"),
        ("access-control-allow-origin", "https://user:*@x.example/?a=b"),
        ("content-type", "application/json; api_key=*"),
    )
    for value in (_value(),)
]
#: URLs in headers of answers: the header is stored, without its signature.
ANSWER_URLS = [
    (name, form.replace("*", value), value)
    for name, form in (
        ("location", "https://files.example/a?se=2026&sig=*&sp=r"),
        ("location", "/v1/files/f/content?X-Amz-Date=1&X-Amz-Signature=*"),
        ("location", "https://app.example/#access_token=*&state=1"),
        ("location", "https://user:*@files.example/a"),
        ("location", "https://x.example/?api%2Dkey=*"),
        ("location", "https://x.example/?next=https%3A%2F%2Fy.example%2F%3Fsig%3D*"),
        ("content-location", "/v1/a?token=*"),
        ("operation-location", "https://x.example/operations/1?subscription-key=*"),
        ("link", '<https://x.example/?page=2&api_key=*>; rel="next"'),
        ("refresh", "5; url=https://x.example/?auth=*"),
        ("x-upload-url", "https://x.example/?upload_token=*"),
    )
    for value in (_value(),)
]
#: Members of JSON bodies.
_FIELDS = _each(
    """
    api_key apiKey openai_api_key authorization Authorization access_token auth_token client_secret
    password secret private_key aws_secret_access_key bearer cookie session_token connection_secret
    """
)
BODY_VALUES = [value for _, value in _FIELDS]
_HEADERS = _each("X-Anything Authorization X-Tenant")
_PAIRED, _IN_TEXT, _IN_JSON, _IN_URL, _IN_HEADER, _TOKEN = (_value() for _ in range(6))
BODY_VALUES += [value for _, value in _HEADERS]
BODY_VALUES += [_PAIRED, _IN_TEXT, _IN_JSON, _IN_URL, _IN_HEADER, _TOKEN]


def body(question: str) -> dict[str, object]:
    """A request whose fields hold credentials. The last message begins with the question."""
    return {
        "model": "gpt-5",
        "messages": [
            {
                "role": "user",
                "content": f'{question} {{"api_key": "{_IN_JSON}"}} OPENAI_API_KEY={_IN_TEXT} '
                f"https://x.example/?sig={_IN_URL} X-Api-Key: {_IN_HEADER}",
            }
        ],
        "tools": [
            {
                "type": "mcp",
                "server_label": "s",
                "authorization": _FIELDS[3][1],
                "headers": dict(_HEADERS),
            },
            {"type": "x", "settings": [{"name": "x-api-key", "value": _PAIRED}]},
        ],
        "extra": dict(_FIELDS),
        "token": _TOKEN,
        "metadata": {f"same{number}": number for number in range(60)},
    }


#: Bodies that are not JSON, and their media types. Each ``*`` is replaced by a credential.
_TEXT_BODIES = (
    ("application/xml", "<a><q>?</q><api_key>*</api_key><x:apiKey b='1'>*</x:apiKey></a>"),
    ("application/xml", '<a q="?"><p name="api_key">*</p><p name="api_key" value="*"/></a>'),
    (
        "application/xml",
        "<a>?<password><![CDATA[*]]></password><credentials><v>*</v></credentials></a>",
    ),
    ("application/xml", "<d><q>?</q><key>api_key</key><string>*</string></d>"),
    ("application/xml", "<q>?</q>&lt;api_key&gt;*&lt;/api_key&gt;"),
    ("text/plain", "? API key: * and the password is * or token *"),
    ("text/plain", "?\napi_key: |\n  *\npassword:\n  *\nset password *"),
    ("text/plain", "? Cookie: a=b; c=*\nAuthorization: Custom *\ncurl -u bob:* --api-key *"),
    (
        "text/plain",
        '? api_key -> * [\'authorization\', \'Bearer *\'] {"name": "x-api-key", "value": "*"}',
    ),
    ("text/plain", "?\n-----BEGIN RSA PRIVATE KEY-----\nMIIE*\n*\n-----END RSA PRIVATE KEY-----\n"),
    ("application/x-www-form-urlencoded", "q=?&api_key=*&client_secret=*&pass=*&api%5Fkey=*"),
    (
        "multipart/form-data; boundary=XX",
        '--XX\r\nContent-Disposition: form-data; name="q"\r\n\r\n?\r\n'
        '--XX\r\nContent-Disposition: form-data; name="api_key"\r\n\r\n*\r\n'
        "--XX\r\ncontent-disposition: form-data; name=password\r\n"
        "content-type: text/plain\r\n\r\n*\r\n--XX--\r\n",
    ),
    # Read as text, since its boundary differs from the one declared.
    (
        "multipart/form-data; boundary=YY",
        '--XX\r\nContent-Disposition: form-data; name="q"\r\n\r\n?\r\n'
        '--XX\r\nContent-Disposition: form-data; name="client_secret"\r\n\r\n*\r\n--XX--\r\n',
    ),
)


def _filled(body: str, values: list[str]) -> str:
    while "*" in body:
        values.append(_value())
        body = body.replace("*", values[-1], 1)
    return body


TEXT_VALUES: list[str] = []
TEXT_BODIES = [(kind, _filled(body, TEXT_VALUES)) for kind, body in _TEXT_BODIES]


def without_values(asked: dict[str, object]) -> dict[str, object]:
    """The same request with other credentials: each of them differs."""
    text = json.dumps(asked)
    for value in BODY_VALUES:
        text = text.replace(value, value.lower())
    changed: dict[str, object] = json.loads(text)
    return changed


def values_in(values: Iterable[str], content: bytes) -> list[str]:
    """The values that the content has, in either case."""
    lowered = content.lower()
    return [value for value in values if value.lower().encode() in lowered]
