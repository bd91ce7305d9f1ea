"""Reading what was sent, strictly: a request that could be read in two ways is not read at all.

JSON: UTF-8, no name twice in an object, no NaN or Infinity. Query: no name twice. What does not fit
is told with a JSON pointer each: `/seats` for a field, `/limit` for a parameter, `/If-Match` for a
header.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final, NamedTuple, NoReturn

import flask
import marshmallow as ma
from werkzeug.exceptions import RequestEntityTooLarge

from ledger.refusals import FieldError, InvalidRequest
from web.app.errors import MALFORMED, UNSUPPORTED, HttpProblem

JSON_TYPE: Final = "application/json"
BODY_BYTES_MAX: Final = 1024 * 1024
TWICE: Final = "must not be given twice"
BYTE_ORDER_MARK: Final = "\ufeff"


class Reader(NamedTuple):
    """Reads one part of requests, and holds it to a schema.

    Attributes:
        take: returns the part as it was sent.
        nothing: what the schema makes of a part that was left empty; None where it must not be.
            It is the same each time, so it is made once.
    """

    schema: ma.Schema
    take: Callable[[flask.Request, ma.Schema], Any]
    nothing: Mapping[str, Any] | None

    def __call__(self, request: flask.Request) -> Any:
        """Return what was sent.

        Raises:
            InvalidRequest: fields that do not fit, each with its pointer.
            HttpProblem: it cannot be read.
        """
        given = self.take(request, self.schema)
        if given == {} and self.nothing is not None:
            return dict(self.nothing)
        try:
            return self.schema.load(given, unknown=ma.RAISE)
        except ma.ValidationError as error:
            raise InvalidRequest(*field_errors(self._in_order(error.messages))) from None

    def _in_order(self, messages: Any) -> Any:
        """Return messages in the order of the fields; of fields that are none, by their names."""
        if not isinstance(messages, Mapping):
            return messages
        named = [field.data_key or name for name, field in self.schema.fields.items()]
        order = {name: number for number, name in enumerate(named)}
        names = sorted(messages, key=lambda name: (order.get(name, len(order)), str(name)))
        return {name: messages[name] for name in names}


def of_query(schema: ma.Schema) -> Reader:
    """Return a reader of the address's parameters."""
    return Reader(schema, _query, _nothing(schema))


def of_headers(schema: ma.Schema) -> Reader:
    """Return a reader of a request's headers."""
    return Reader(schema, _headers, _nothing(schema))


def of_body(schema: ma.Schema, *, required: bool = True) -> Reader:
    """Return a reader of a JSON body.

    Args:
        required: a body must be sent; where it need not, none is one without fields.
    """
    return Reader(schema, partial(_body, required=required), _nothing(schema))


def _nothing(schema: ma.Schema) -> Mapping[str, Any] | None:
    if any(field.required or callable(field.load_default) for field in schema.fields.values()):
        return None
    try:
        nothing = schema.load({})
    except ma.ValidationError:
        return None
    return nothing if isinstance(nothing, Mapping) else None


def _query(request: flask.Request, _schema: ma.Schema) -> dict[str, str]:
    if not request.query_string:
        return {}
    given = request.args.lists()
    twice = [FieldError(_pointer(name), TWICE) for name, values in given if len(values) > 1]
    if twice:
        raise InvalidRequest(*twice)
    return request.args.to_dict()


def _headers(request: flask.Request, schema: ma.Schema) -> dict[str, str]:
    """Return those that the schema knows; whoever asks may send any others."""
    names = (field.data_key or name for name, field in schema.fields.items())
    return {name: request.headers[name] for name in names if name in request.headers}


def _body(request: flask.Request, _schema: ma.Schema, *, required: bool) -> Any:
    body = request.get_data(cache=False)
    if len(body) > BODY_BYTES_MAX:
        raise RequestEntityTooLarge
    if not body and not required:
        return {}
    if request.content_type != JSON_TYPE and not _is_json(request):
        raise HttpProblem(UNSUPPORTED, f"send {JSON_TYPE}, in UTF-8", {"Accept": JSON_TYPE})
    return read_json(body)


def _is_json(request: flask.Request) -> bool:
    """Return whether a body is JSON also where its type is written in another way than most do."""
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    return request.mimetype == JSON_TYPE and charset == "utf-8"


def read_json(body: bytes) -> Any:
    """Return what a JSON body holds.

    Raises:
        HttpProblem: it is no JSON, or JSON that could be read in two ways.
    """
    try:
        text = body.decode("utf-8")
        if text.startswith(BYTE_ORDER_MARK):
            raise HttpProblem(MALFORMED, "the body is not JSON: it begins with a byte order mark")
        return _JSON.decode(text)
    except UnicodeDecodeError:
        raise HttpProblem(MALFORMED, "the body is not UTF-8") from None
    except _Ambiguous as error:
        raise HttpProblem(MALFORMED, str(error)) from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise HttpProblem(MALFORMED, f"the body is not JSON: {error.msg} at {where}") from None
    except RecursionError:
        raise HttpProblem(MALFORMED, "the body is nested too deeply") from None
    except ValueError:
        raise HttpProblem(MALFORMED, "the body has a number that is too long") from None


def field_errors(messages: Any, pointer: str = "") -> Iterator[FieldError]:
    """Yield marshmallow's nested messages as field errors, each with its JSON pointer."""
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


_JSON: Final = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_constant)


def _pointer(name: str) -> str:
    """Return one step of a JSON pointer (RFC 6901)."""
    return "/" + name.replace("~", "~0").replace("/", "~1")
