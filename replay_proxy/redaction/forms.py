"""Texts that are credentials by their form, or could be. Pure.

In here: the forms that issuers document. Not in here: the names of credentials (``credentials``).
"""

import re
from hashlib import sha256
from urllib.parse import unquote_plus


def word_list(text: str) -> list[str]:
    """The words of a text."""
    return text.split()


#: Forms of credentials, as their issuers document them and secret scanners search for them.
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
    "OpenAI ephemeral key": r"ek_[A-Za-z0-9]{20,}",
    "Langfuse key": r"sk-lf-[0-9a-f-]{36}",
    "LangSmith key": r"lsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}",
    "Replicate token": r"r8_[A-Za-z0-9]{30,}",
    "Fireworks key": r"fw_[A-Za-z0-9]{22,}",
    "Cerebras key": r"csk-[a-z0-9]{40,}",
    "NVIDIA key": r"nvapi-[A-Za-z0-9_-]{40,}",
    "Together key": r"tgp_v1_[A-Za-z0-9_-]{40,}",
    "Voyage key": r"pa-[A-Za-z0-9_-]{40,}",
    "Jina key": r"jina_[A-Za-z0-9_-]{40,}",
    "Tavily key": r"tvly-[A-Za-z0-9_-]{20,}",
    "Pinecone key": r"pcsk_[A-Za-z0-9_]{40,}",
    "Anyscale key": r"esecret_[A-Za-z0-9]{20,}",
    "ElevenLabs key": r"sk_[0-9a-f]{48}",
    "Databricks token": r"dapi[0-9a-f]{32}",
    "Google OAuth": r"ya29\.[A-Za-z0-9_-]{20,}|GOCSPX-[A-Za-z0-9_-]{28}|1//0[A-Za-z0-9_-]{30,}",
    "Azure client secret": r"[A-Za-z0-9_~.-]{3}8Q~[A-Za-z0-9_~.-]{31,34}",
    "Stripe key": r"[sr]k_(?:live|test)_[A-Za-z0-9]{16,}|whsec_[A-Za-z0-9+/]{24,}",
    "GitLab token": r"gl(?:pat|ptt|dt|rt|cbt|ft|soat|imt|agent)-[A-Za-z0-9_-]{20,}",
    "npm token": r"npm_[A-Za-z0-9]{36}",
    "PyPI token": r"pypi-[A-Za-z0-9_-]{32,}",
    "SendGrid key": r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{32,}",
    "Mailgun key": r"key-[0-9a-f]{32}",
    "Shopify token": r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}",
    "DigitalOcean token": r"do[opr]_v1_[0-9a-f]{64}",
    "Supabase key": r"sbp_[0-9a-f]{40}|sb_secret_[A-Za-z0-9_-]{20,}",
    "Notion token": r"ntn_[A-Za-z0-9]{40,}",
    "Linear key": r"lin_api_[A-Za-z0-9]{40}",
    "Atlassian token": r"ATATT3[A-Za-z0-9_=-]{50,}",
    "Telegram token": r"[0-9]{8,10}:AA[A-Za-z0-9_-]{32,}",
    "Slack app token": r"xapp-[0-9]-[A-Za-z0-9-]{20,}",
    "New Relic key": r"NRAK-[A-Z0-9]{27}",
    "Doppler token": r"dp\.(?:pt|st|sa|ct|scim|audit)\.[A-Za-z0-9.]{40,}",
    "Vault token": r"hv[sbr]\.[A-Za-z0-9_-]{24,}",
    "Terraform token": r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_-]{60,}",
    "Postman key": r"PMAK-[0-9a-f]{24}-[0-9a-f]{34}",
    "PlanetScale token": r"pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.-]{32,}",
    "Sentry token": r"sntry[us]_[A-Za-z0-9_+/=-]{40,}",
    "Square token": r"sq0(?:atp|csp)-[A-Za-z0-9_-]{22,}",
    "Figma token": r"figd_[A-Za-z0-9_-]{40,}",
    "Grafana token": r"gl(?:sa|c)_[A-Za-z0-9_+/=-]{32,}",
    "Docker token": r"dckr_[po]at_[A-Za-z0-9_-]{27}",
    "RubyGems key": r"rubygems_[0-9a-f]{48}",
    "PostHog key": r"phx_[A-Za-z0-9]{40,}",
    "age key": r"AGE-SECRET-KEY-1[0-9A-Z]{58}",
    "Hugging Face organisation token": r"api_org_[A-Za-z0-9]{30,}",
    "bearer token": r"[Bb]earer [A-Za-z0-9._~+/-]{20,}",
    "JSON web token": r"eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
    "private key": r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----",
    "organisation id": r"org-[A-Za-z0-9]{24}",
    "project id": r"proj_[A-Za-z0-9]{24}",
}
#: Every credential of these forms contains one of these; a text without any needs no slower search.
HINTS = tuple(
    word_list(
        """
    sk- sess- AIza gsk_ xai- pplx- hf_ ghp_ gho_ ghu_ ghs_ ghr_ github_pat_ AKIA ASIA xox
    earer eyJ -----BEGIN org- proj_
    ek_ lsv2_ r8_ fw_ csk- nvapi- tgp_v1_ pa- jina_ tvly- pcsk_ esecret_ sk_ dapi ya29. GOCSPX-
    1//0 8Q~ k_live_ k_test_ whsec_ glpat- glptt- gldt- glrt- glcbt- glft- glsoat- glimt- glagent-
    npm_ pypi- SG. key- shpat_ shpca_ shppa_ shpss_ _v1_ sbp_ sb_secret_ ntn_ lin_api_ ATATT3 :AA
    xapp- NRAK- dp. hvs. hvb. hvr. .atlasv1. PMAK- pscale_ sntryu_ sntrys_ sq0 figd_ glsa_ glc_
    dckr_ rubygems_ phx_ AGE-SECRET api_org_
    """
    )
)
FORM = re.compile(
    "|".join(rf"(?<![A-Za-z0-9_])(?:{form})(?![A-Za-z0-9_*])" for form in KINDS.values())
)

#: A run of characters as long as the shortest credential of a known form; few words are as long.
_RUN = re.compile(r"[A-Za-z0-9_.~+/=-]{20}")
#: A text that could be a credential: a long word of letters and digits, a UUID, a license, base64.
_OPAQUE = re.compile(
    r"(?<![A-Za-z0-9])(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9]{16,}"
    r"|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
    r"|(?<![A-Za-z0-9-])(?=[A-Z-]*[0-9])(?=[0-9-]*[A-Z])[A-Z0-9]{4,8}(?:-[A-Z0-9]{4,8}){2,}(?![a-z])"
    r"|(?<![\w-])(?=[\w-]*[0-9])(?=[\w-]*[A-Z])(?=[\w-]*[a-z])[A-Za-z0-9_-]{40,}"
    r"|(?:Basic|Bearer|Digest|Negotiate|NTLM) +\S"
)
#: The replacement of a value that could be a credential; different values have different ones.
_DIGEST = re.compile(r"redacted~[0-9a-f]{8}")


def may_have_form(text: str) -> bool:
    """Whether a text may have a credential of a known form: a quick check."""
    return (_RUN.search(text) is not None or "-----BEGIN" in text) and any(
        hint in text for hint in HINTS
    )


def has_form(text: str) -> bool:
    """Whether a text has a credential of a known form."""
    return may_have_form(text) and FORM.search(text) is not None


def is_opaque(text: str) -> bool:
    """Whether a text has something that could be a credential, or an id."""
    return _OPAQUE.search(text) is not None


def is_digest(value: str) -> bool:
    """Whether a value is a digest of another one."""
    return _DIGEST.fullmatch(value) is not None


def digest(value: str) -> str:
    """The replacement of a value: it shows when the value changes, but not the value."""
    if is_digest(value):
        return value
    return f"redacted~{sha256(value.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def decoded(text: str) -> str:
    """A name or a value as a server reads it, even if it was encoded twice."""
    for _ in range(3):
        if "%" not in text and "+" not in text:
            break
        text = unquote_plus(text)
    return text
