"""Reading what was sent, strictly: a request that could be read in two ways is not read at all.

JSON: UTF-8, no name twice in an object, no NaN or Infinity. Query: no name twice. What does not fit
is told with a JSON pointer each: `/seats` for a field, `/limit` for a parameter, `/If-Match` for a
header.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, NoReturn

import flask
import marshmallow as ma
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import RequestEntityTooLarge

from ledger.refusals import FieldError, InvalidRequest
from web.errors import MALFORMED, UNSUPPORTED, Problem

JSON_TYPE: Final = "application/json"
BODY_BYTES_MAX: Final = 1024 * 1024
TWICE: Final = "must not be given twice"


class StrictParser(FlaskParser):
    """What flask-smorest reads requests with."""

    DEFAULT_UNKNOWN_BY_LOCATION = {"json": ma.RAISE, "query": ma.RAISE, "headers": ma.EXCLUDE}

    def load_json(self, req: flask.Request, schema: ma.Schema) -> Any:
        body = req.get_data(cache=False)
        if len(body) > BODY_BYTES_MAX:
            raise RequestEntityTooLarge
        if not body and not any(field.required for field in schema.fields.values()):
            return {}
        charset = req.mimetype_params.get("charset", "utf-8").lower()
        if req.mimetype != JSON_TYPE or charset != "utf-8":
            raise Problem(UNSUPPORTED, f"send {JSON_TYPE}, in UTF-8", {"Accept": JSON_TYPE})
        return read_json(body)

    def load_querystring(self, req: flask.Request, _schema: ma.Schema) -> Any:
        given = req.args.lists()
        twice = [FieldError(_pointer(name), TWICE) for name, values in given if len(values) > 1]
        if twice:
            raise InvalidRequest(*twice)
        return req.args.to_dict()

    def handle_error(
        self,
        error: ma.ValidationError,
        req: flask.Request,
        schema: ma.Schema,
        *,
        error_status_code: int | None,
        error_headers: Mapping[str, str] | None,
    ) -> NoReturn:
        # webargs puts the messages under the place that they are about: json, query or headers.
        assert isinstance(error.messages, dict)
        for messages in error.messages.values():
            raise InvalidRequest(*field_errors(messages))
        raise AssertionError("an error without messages")


def read_json(body: bytes) -> Any:
    """Read a body.

    Raises:
        Problem: it is no JSON, or JSON that could be read in two ways.
    """
    try:
        return json.loads(
            body.decode("utf-8"), object_pairs_hook=_object, parse_constant=_no_constant
        )
    except UnicodeDecodeError:
        raise Problem(MALFORMED, "the body is not UTF-8") from None
    except _Ambiguous as error:
        raise Problem(MALFORMED, str(error)) from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise Problem(MALFORMED, f"the body is not JSON: {error.msg} at {where}") from None
    except RecursionError:
        raise Problem(MALFORMED, "the body is nested too deeply") from None
    except ValueError:
        raise Problem(MALFORMED, "the body has a number that is too long") from None


def field_errors(messages: Any, pointer: str = "") -> Iterator[FieldError]:
    """Flatten marshmallow's messages into field errors."""
    if isinstance(messages, Mapping):
        for name, inner in messages.items():
            deeper = pointer if name == "_schema" else pointer + _pointer(str(name))
            yield from field_errors(inner, deeper)
    else:
        for message in messages:
            yield FieldError(pointer, str(message))


class _Ambiguous(ValueError):
    pass


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _Ambiguous(f"the body has the name {name!r} twice in one object")
        found[name] = value
    return found


def _no_constant(name: str) -> NoReturn:
    raise _Ambiguous(f"the body has {name}, which is not JSON")


def _pointer(name: str) -> str:
    """Answer one step of a JSON pointer (RFC 6901)."""
    return "/" + name.replace("~", "~0").replace("/", "~1")
