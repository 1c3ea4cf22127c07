"""Texts that are credentials by their form, or could be some. Pure.

In here: what issuers document. Not in here: which names hold credentials, which is ``credentials``.
"""

import re
from hashlib import sha256
from urllib.parse import unquote_plus


def listed(text: str) -> list[str]:
    """The words of a list that is written as a text."""
    return text.split()


#: Credentials that tell by their form, as their issuers document it and secret scanners look for.
KINDS = {
    "Anthropic key": r"sk-ant-[A-Za-z0-9_-]{20,}",
    "OpenRouter key": r"sk-or-v1-[0-9a-f]{40,}",
    "OpenAI key": r"sk-(?:proj-|svcacct-|admin-|None-)?[A-Za-z0-9]{3}[A-Za-z0-9_-]{17,}",
    "OpenAI session": r"sess-[A-Za-z0-9]{40}",
    "Google key": r"AIza[0-9A-Za-z_-]{35}",
    "Groq key": r"gsk_[A-Za-z0-9]{40,}",
    "xAI key": r"xai-[A-Za-z0-9]{40,}",
    "Perplexity key": r"pplx-[A-Za-z0-9]{40,}",
    "Hugging Face token": r"hf_[A-Za-z0-9]{30,}",
    "GitHub token": r"gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{40,}",
    "AWS access key": r"(?:AKIA|ASIA)[0-9A-Z]{16}",
    "Slack token": r"xox[abprs]-[A-Za-z0-9-]{20,}",
    "bearer token": r"[Bb]earer [A-Za-z0-9._~+/-]{20,}",
    "JSON web token": r"eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
    "private key": r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----",
    "organisation id": r"org-[A-Za-z0-9]{24}",
    "project id": r"proj_[A-Za-z0-9]{24}",
}
#: Each form has one of these. Texts without them need no slower look.
HINTS = tuple(
    listed(
        """
    sk- sess- AIza gsk_ xai- pplx- hf_ ghp_ gho_ ghu_ ghs_ ghr_ github_pat_ AKIA ASIA xox
    earer eyJ -----BEGIN org- proj_
    """
    )
)
FORM = re.compile(
    "|".join(rf"(?<![A-Za-z0-9_/+-])(?:{form})(?![A-Za-z0-9_*])" for form in KINDS.values())
)

#: What could be a credential: a long word of letters and digits, a UUID, a license, base64.
_OPAQUE = re.compile(
    r"(?<![A-Za-z0-9])(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9]{16,}"
    r"|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
    r"|(?<![A-Za-z0-9-])(?=[A-Z-]*[0-9])(?=[0-9-]*[A-Z])[A-Z0-9]{4,8}(?:-[A-Z0-9]{4,8}){2,}(?![a-z])"
    r"|(?<![\w-])(?=[\w-]*[0-9])(?=[\w-]*[A-Z])(?=[\w-]*[a-z])[A-Za-z0-9_-]{40,}"
    r"|(?:Basic|Bearer|Digest|Negotiate|NTLM) +\S"
)
#: Stands for a value that could be a credential; other values have another one.
_DIGEST = re.compile(r"redacted~[0-9a-f]{8}")


def has_form(text: str) -> bool:
    """Whether a credential stands in a text, which tells by its form."""
    return any(hint in text for hint in HINTS) and FORM.search(text) is not None


def is_opaque(text: str) -> bool:
    """Whether something stands in a text that could be a credential, or an id."""
    return _OPAQUE.search(text) is not None


def is_digest(value: str) -> bool:
    """Whether a value stands for another one."""
    return _DIGEST.fullmatch(value) is not None


def digest(value: str) -> str:
    """What is stored in place of a value: nobody can tell it from that, but whether it changed."""
    if is_digest(value):
        return value
    return f"redacted~{sha256(value.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def decoded(text: str) -> str:
    """A name or a value as a server reads it, also one that was encoded twice."""
    for _ in range(3):
        if "%" not in text and "+" not in text:
            break
        text = unquote_plus(text)
    return text
