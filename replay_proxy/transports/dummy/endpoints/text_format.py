"""The format of an answer's text: free, or JSON that fits a schema.

In here: reading ``response_format`` and ``text.format``. Not in here: values that fit a schema
(``json_schema``).
"""

from replay_proxy.errors import InvalidRequest
from replay_proxy.transports.dummy.endpoints.validation import missing_parameter

#: The schema for ``json_object``.
ANY_OBJECT = {
    "type": "object",
    "properties": {"answer": {"type": "string"}},
    "required": ["answer"],
}


def schema_of(form: dict[str, object], inner: object, param: str, within: str) -> object:
    """The schema that a text has to fit; None if the text is free.

    ``form`` is the field at ``param`` in the request. ``inner``, which holds the schema, is at
    ``within``. Raises ``InvalidRequest`` for a format that the API does not know.
    """
    match form.get("type"):
        case "text" | "grammar" | "python" | None:
            return None
        case "json_object":
            return ANY_OBJECT
        case "json_schema":
            if not isinstance(inner, dict):
                raise missing_parameter(within)
            if not isinstance(inner.get("name"), str):
                raise missing_parameter(f"{within}.name")
            schema = inner.get("schema")
            return ANY_OBJECT if schema is None else schema
        case other:
            raise InvalidRequest(
                f"Invalid value: '{other}'. "
                "Supported values are: 'json_object', 'json_schema', and 'text'.",
                param=f"{param}.type",
                code="invalid_value",
            )
