"""Which JSON an answer's text has to be.

In here: ``response_format`` and ``text.format``, read. Not in here: values that fit
(``json_schema``).
"""

from replay_proxy.errors import InvalidRequest
from replay_proxy.transports.dummy.endpoints.validation import missing

#: What ``json_object`` asks for.
ANY_OBJECT = {
    "type": "object",
    "properties": {"answer": {"type": "string"}},
    "required": ["answer"],
}


def schema_of(form: dict[str, object], inner: object, param: str, within: str) -> object:
    """The schema that a text has to fit, None where it is free.

    ``form`` stands at ``param`` in the request, and ``inner``, which holds the schema, at
    ``within``. Raises ``InvalidRequest`` for a form that the API does not know.
    """
    match form.get("type"):
        case "text" | "grammar" | "python" | None:
            return None
        case "json_object":
            return ANY_OBJECT
        case "json_schema":
            if not isinstance(inner, dict):
                raise missing(within)
            if not isinstance(inner.get("name"), str):
                raise missing(f"{within}.name")
            schema = inner.get("schema")
            return ANY_OBJECT if schema is None else schema
        case other:
            raise InvalidRequest(
                f"Invalid value: '{other}'. "
                "Supported values are: 'json_object', 'json_schema', and 'text'.",
                param=f"{param}.type",
                code="invalid_value",
            )
