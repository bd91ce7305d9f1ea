"""The provider of OpenID Connect that people sign in with: the only place that asks it anything.

A browser is sent to the provider and comes back with a code. The code is exchanged here, with the
client's secret and the verifier that only this browser's cookie holds, for an ID token, which is
held to everything that says for whom it is, and when:

    signature   by a key that the provider publishes, by a public-key algorithm
    iss, aud    the provider of the setting, and this client; azp, where it is there, too
    exp, iat    now, with a minute's leeway
    nonce       of this very try

Each call has few seconds, and few are made at once, so that a provider that is slow or down takes
no thread that something else needs. Nothing of what it says about a person is kept or logged.

Source: OpenID Connect Core 1.0, 3.1; OpenID Connect Discovery 1.0; RFC 7636 (PKCE); RFC 9207.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, TypeGuard
from urllib.parse import quote, urlencode

import msgspec
import requests
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from requests.auth import HTTPBasicAuth
from urllib3.exceptions import HTTPError

from commands.gateways.oidc_addresses import is_safe_address

# Of public keys alone: with none or a shared secret anybody could have signed.
ALGORITHMS: Final = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
    "Ed25519",
)  # fmt: skip
CONNECT_S: Final = 3.0
READ_S: Final = 3.0
CALL_S: Final = 5.0
TURN_S: Final = 1.0
LEEWAY_S: Final = 60
METADATA_S: Final = 3600.0
BODY_BYTES_MAX: Final = 512 * 1024
SUBJECT_LENGTH_MAX: Final = 255
WELL_KNOWN: Final = "/.well-known/openid-configuration"

_OK: Final = 200
_SERVER_ERROR: Final = 500
# What the token endpoint may say (RFC 6749, 5.2); anything else it says is not repeated.
_TOKEN_ERRORS: Final = frozenset(
    {
        "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client",
        "unsupported_grant_type", "invalid_scope",
    }
)  # fmt: skip


class OidcUnavailable(Exception):
    """The provider does not answer, or not in time; the message says what was asked of it."""


class OidcRefused(Exception):
    """The provider does not take the code, or Keyfold itself; the message is its error's name."""


class OidcUntrusted(Exception):
    """What the provider said does not hold; the message says which part, and nothing of it."""


class Provider(NamedTuple):
    """The provider, as it describes itself."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    posts_secret: bool
    names_itself: bool
    takes_s256: bool


class AuthorizationRequest(NamedTuple):
    """One try to sign in, as the browser's cookie keeps it.

    Attributes:
        state: what the provider's answer must repeat.
        nonce: what the ID token must repeat.
        verifier: what only who began can show when the code is exchanged.
    """

    state: str
    nonce: str
    verifier: str


class OidcGateway:
    """One provider, and this ledger as its client.

    Args:
        issuer: what the provider calls itself, which is where it describes itself.
        turns: how many calls may wait for it at once.
    """

    def __init__(self, issuer: str, client_id: str, client_secret: str, turns: int = 2) -> None:
        self.issuer = issuer
        self._client_id = client_id
        self._client_secret = client_secret
        self._turns = threading.BoundedSemaphore(turns)
        # Of one process; whoever comes first fetches them again, and two may at once.
        self._provider: tuple[float, Provider] | None = None
        self._keys: KeySet | None = None

    def authorization_url(self, asked: AuthorizationRequest, redirect_uri: str) -> str:
        """Return where a browser is sent to sign in.

        Raises:
            OidcUnavailable, OidcUntrusted: what the provider says of itself cannot be had, or used.
        """
        with self._turn():
            provider = self._described()
        challenge = hashlib.sha256(asked.verifier.encode()).digest()
        query = urlencode(
            {
                "response_type": "code",
                "client_id": self._client_id,
                "redirect_uri": redirect_uri,
                "scope": "openid",
                "state": asked.state,
                "nonce": asked.nonce,
                "code_challenge": base64.urlsafe_b64encode(challenge).decode().rstrip("="),
                "code_challenge_method": "S256",
            }
        )
        has_query = "?" in provider.authorization_endpoint
        return f"{provider.authorization_endpoint}{'&' if has_query else '?'}{query}"

    def claims(
        self,
        code: str,
        asked: AuthorizationRequest,
        redirect_uri: str,
        named_issuer: str | None,
        is_enough: Callable[[Mapping[str, Any]], bool],
    ) -> Mapping[str, Any]:
        """Exchange a code, and return what the provider says about the person who has signed in.

        Args:
            named_issuer: `iss` of the provider's answer, None where it has none (RFC 9207).
            is_enough: tells whether claims have what is looked for; if those of the ID token have
                not, the provider is asked for more (UserInfo).

        Raises:
            OidcUnavailable, OidcRefused, OidcUntrusted: in no order.
        """
        with self._turn():
            provider = self._described()
            if named_issuer != self.issuer and (named_issuer or provider.names_itself):
                raise OidcUntrusted("the answer's issuer")
            tokens = self._exchange(provider, code, asked, redirect_uri)
            claims = self._verified(provider, tokens.get("id_token"))
            self._hold(claims, asked.nonce)
            access = tokens.get("access_token")
            if is_enough(claims) or provider.userinfo_endpoint is None or not access:
                return claims
            return {**self._userinfo(provider.userinfo_endpoint, access, claims), **claims}

    def described(self) -> Provider:
        """Return what the provider says of itself now, its keys having been looked at.

        Raises:
            OidcUnavailable, OidcUntrusted: it cannot be had, or used.
        """
        provider = self._describe()
        self._fetch_keys(provider)
        return provider

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._turns.acquire(timeout=TURN_S):
            raise OidcUnavailable("too many wait for it already")
        try:
            yield
        finally:
            self._turns.release()

    def _described(self) -> Provider:
        if self._provider is None or time.monotonic() - self._provider[0] > METADATA_S:
            self._provider = time.monotonic(), self._describe()
        return self._provider[1]

    def _describe(self) -> Provider:
        status, said = _ask("GET", self.issuer.rstrip("/") + WELL_KNOWN, "its description")
        if status != _OK:
            raise OidcUnavailable(f"its description: HTTP {status}")
        if said.get("issuer") != self.issuer:
            raise OidcUntrusted("the issuer in its description")
        methods = _texts(said, "token_endpoint_auth_methods_supported", "client_secret_basic")
        return Provider(
            self.issuer,
            _address(said, "authorization_endpoint"),
            _address(said, "token_endpoint"),
            _address(said, "jwks_uri"),
            _address(said, "userinfo_endpoint") if said.get("userinfo_endpoint") else None,
            "client_secret_basic" not in methods,
            said.get("authorization_response_iss_parameter_supported") is True,
            # Many take it and do not say so.
            "S256" in _texts(said, "code_challenge_methods_supported", "S256"),
        )

    def _exchange(
        self, provider: Provider, code: str, asked: AuthorizationRequest, redirect_uri: str
    ) -> Mapping[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": asked.verifier,
        }
        auth: Callable[[Any], Any] = _as_it_is
        if provider.posts_secret:
            form |= {"client_id": self._client_id, "client_secret": self._client_secret}
        else:
            # RFC 6749, 2.3.1: encoded as in a form first.
            auth = HTTPBasicAuth(quote(self._client_id, ""), quote(self._client_secret, ""))
        status, said = _ask("POST", provider.token_endpoint, "its tokens", data=form, auth=auth)
        if status >= _SERVER_ERROR:
            raise OidcUnavailable(f"its tokens: HTTP {status}")
        if status != _OK:
            error = said.get("error")
            is_known = isinstance(error, str) and error in _TOKEN_ERRORS
            raise OidcRefused(str(error) if is_known else "an error of its own")
        return said

    def _verified(self, provider: Provider, id_token: object) -> Mapping[str, Any]:
        """Return what an ID token says that the provider has signed."""
        if not isinstance(id_token, str):
            raise OidcUntrusted("the ID token, of which there is none")
        keys, are_fresh = self._keys, False
        if keys is None:
            keys, are_fresh = self._fetch_keys(provider), True
        try:
            return self._decoded(id_token, keys)
        except InvalidKeyIdError:
            if are_fresh:
                raise OidcUntrusted("the ID token's key") from None
        # It may have a new key; the one that it signs with is not looked for again and again.
        try:
            return self._decoded(id_token, self._fetch_keys(provider))
        except InvalidKeyIdError:
            raise OidcUntrusted("the ID token's key") from None

    def _decoded(self, id_token: str, keys: KeySet) -> Mapping[str, Any]:
        try:
            return jwt.decode(id_token, keys, algorithms=ALGORITHMS).claims
        except InvalidKeyIdError:
            raise
        except (JoseError, ValueError, TypeError, LookupError, AttributeError) as error:
            raise OidcUntrusted(f"the ID token's signature ({type(error).__name__})") from None

    def _fetch_keys(self, provider: Provider) -> KeySet:
        status, said = _ask("GET", provider.jwks_uri, "its keys")
        if status != _OK:
            raise OidcUnavailable(f"its keys: HTTP {status}")
        try:
            signing = [one for one in said["keys"] if one.get("use", "sig") == "sig"]
            keys = KeySet.import_key_set({"keys": signing})
        except (JoseError, ValueError, KeyError, TypeError, AttributeError):
            raise OidcUntrusted("its keys") from None
        self._keys = keys
        return keys

    def _hold(self, claims: Mapping[str, Any], nonce: str) -> None:
        """Hold what an ID token says to this client, this try and now."""
        now = time.time()
        audience = claims.get("aud")
        audiences = [audience] if isinstance(audience, str) else audience
        expires, issued, begins = (claims.get(name) for name in ("exp", "iat", "nbf"))
        if claims.get("iss") != self.issuer:
            raise OidcUntrusted("iss")
        if not isinstance(audiences, list) or self._client_id not in audiences:
            raise OidcUntrusted("aud")
        if claims.get("azp", self._client_id if len(audiences) == 1 else None) != self._client_id:
            raise OidcUntrusted("azp")
        if not _is_number(expires) or expires <= now - LEEWAY_S:
            raise OidcUntrusted("exp")
        if not _is_number(issued) or issued > now + LEEWAY_S:
            raise OidcUntrusted("iat")
        if begins is not None and (not _is_number(begins) or begins > now + LEEWAY_S):
            raise OidcUntrusted("nbf")
        said = claims.get("nonce")
        if not isinstance(said, str) or not hmac.compare_digest(said.encode(), nonce.encode()):
            raise OidcUntrusted("nonce")
        subject = claims.get("sub")
        if not isinstance(subject, str) or not 0 < len(subject) <= SUBJECT_LENGTH_MAX:
            raise OidcUntrusted("sub")

    def _userinfo(self, endpoint: str, access: object, claims: Mapping[str, Any]) -> Any:
        def bear(request: requests.PreparedRequest) -> requests.PreparedRequest:
            request.headers["Authorization"] = f"Bearer {access}"
            return request

        status, said = _ask("GET", endpoint, "its UserInfo", auth=bear)
        if status != _OK:
            raise OidcUnavailable(f"its UserInfo: HTTP {status}")
        if said.get("sub") != claims["sub"]:
            raise OidcUntrusted("sub of its UserInfo")
        return said


def _ask(
    method: str,
    url: str,
    what: str,
    *,
    data: Mapping[str, str] | None = None,
    auth: Callable[[Any], Any] | None = None,
) -> tuple[int, Mapping[str, Any]]:
    """Return the status and the JSON object that the provider answers, {} where it is none.

    Redirects are not followed: whatever is asked for is where the provider says that it is.

    Raises:
        OidcUnavailable: it does not answer in time, or more than will do.
    """
    ends = time.monotonic() + CALL_S
    try:
        # With an `auth` of ours no file of the machine's user is looked into for another (netrc).
        with requests.request(
            method,
            url,
            data=data,
            auth=auth or _as_it_is,
            headers={"Accept": "application/json"},
            timeout=(CONNECT_S, READ_S),
            allow_redirects=False,
            stream=True,
        ) as response:
            body = b""
            # Piece by piece, as they come: one that trickles is not waited for.
            while piece := response.raw.read1(BODY_BYTES_MAX, decode_content=True):
                body += piece
                if len(body) > BODY_BYTES_MAX:
                    raise OidcUnavailable(f"{what}: too long")
                if time.monotonic() > ends:
                    raise OidcUnavailable(f"{what}: too slow")
            status = response.status_code
    # urllib3's own come out of a body that is read piece by piece.
    except (requests.RequestException, OSError, HTTPError) as error:
        raise OidcUnavailable(f"{what}: {type(error).__name__}") from None
    try:
        said = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return status, {}
    return status, said if isinstance(said, dict) else {}


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _address(said: Mapping[str, Any], name: str) -> str:
    url = said.get(name)
    if not isinstance(url, str) or not is_safe_address(url):
        raise OidcUntrusted(f"{name} in its description")
    return url


def _texts(said: Mapping[str, Any], name: str, unsaid: str) -> list[object]:
    """Return what a list in the description holds; what it means not to have one, without."""
    found = said.get(name)
    return found if isinstance(found, list) and found else [unsaid]


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
