"""Tokens (JWT): whose they are, and for what. Imported only where a deployment asks for them."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from components.contract.errors import WaymarkError
from serving.auth import OPEN, SERVICE, AuthError, Caller
from serving.settings import ServingSettings

_LONGEST_TOKEN = 8192
_SHORTEST_SECRET = 32
_MESSAGES: dict[type[Exception], str] = {
    jwt.ExpiredSignatureError: "the token has expired",
    jwt.ImmatureSignatureError: "the token is not valid yet",
    jwt.InvalidAudienceError: "the token is for another audience",
    jwt.InvalidIssuerError: "the token is of another issuer",
    jwt.InvalidSignatureError: "the token's signature is wrong",
    jwt.InvalidAlgorithmError: "the token is signed by another algorithm",
}


class Authority:
    """Checks tokens by the deployment's keys.

    Parameters
    ----------
    settings : ServingSettings
        With ``jwt_secret`` or ``jwt_key_file``.

    Raises
    ------
    WaymarkError
        Names the variable that is missing or wrong.
    """

    def __init__(self, settings: ServingSettings):
        secret, self._file = settings.jwt_secret, settings.jwt_key_file
        if (secret is None) == (self._file is None):
            raise WaymarkError("WAYMARK_SERVING_JWT_SECRET or ..._JWT_KEY_FILE: give one of them, not both")
        if not settings.jwt_issuer or not settings.jwt_audience:
            raise WaymarkError("WAYMARK_SERVING_JWT_ISSUER and ..._JWT_AUDIENCE: both are needed with a key")
        self._issuer, self._audience = settings.jwt_issuer, settings.jwt_audience
        self._leeway, self._claim = settings.jwt_leeway_seconds, settings.jwt_associate_claim
        # By key id; "" is the key of a file that holds one.
        self._keys: dict[str, tuple[str, Any]] = {}
        self._changed = 0.0
        if secret is not None:
            value = secret.get_secret_value().encode()
            if len(value) < _SHORTEST_SECRET:
                raise WaymarkError(
                    f"WAYMARK_SERVING_JWT_SECRET: at least {_SHORTEST_SECRET} bytes are needed"
                )
            self._keys = {"": ("HS256", value)}
        else:
            self._read()

    def admit(self, scope: str, authorization: bytes) -> Caller | None:
        """Check a request's token.

        Parameters
        ----------
        scope : str
            From :func:`scope_of`.
        authorization : bytes
            The header; empty if there is none.

        Raises
        ------
        AuthError
        """
        if scope == OPEN:
            return None
        kind, _, token = authorization.decode("latin-1").partition(" ")
        if kind.lower() != "bearer" or not token:
            raise AuthError("Authorization: a bearer token is expected", 401)
        caller = self._caller(token.strip())
        if scope not in caller.scopes:
            raise AuthError(f"the token lacks the scope {scope}", 403, "insufficient_scope")
        return caller

    def _caller(self, token: str) -> Caller:
        try:
            algorithm, key = self._key(token)
            claims = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                issuer=self._issuer,
                audience=self._audience,
                leeway=self._leeway,
                options={"require": ["exp", "iss", "aud"]},
            )
        except jwt.MissingRequiredClaimError as error:
            raise AuthError(f"the token has no {error.claim}", 401, "invalid_token") from error
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            message = _MESSAGES.get(type(error), "the token is not valid")
            raise AuthError(message, 401, "invalid_token") from error
        scopes = _words(claims.get("scope", claims.get("scp")))
        if SERVICE in scopes:
            return Caller(scopes, None)
        associate_id = claims.get(self._claim)
        if not isinstance(associate_id, str) or not associate_id.strip():
            raise AuthError(
                f"the token has neither the scope {SERVICE} nor a text in {self._claim}",
                403,
                "insufficient_scope",
            )
        return Caller(scopes, associate_id.strip())

    def _key(self, token: str) -> tuple[str, Any]:
        if len(token) > _LONGEST_TOKEN:
            raise jwt.DecodeError("too long")
        if "" in self._keys:
            return self._keys[""]
        name = jwt.get_unverified_header(token).get("kid", "")
        if name not in self._keys:
            self._read_again()
        if name not in self._keys:
            raise jwt.InvalidKeyError("unknown key")
        return self._keys[name]

    def _read_again(self) -> None:
        """Take over keys that were rotated since; what cannot be read leaves those that were."""
        with contextlib.suppress(OSError, WaymarkError):
            if self._file is not None and self._file.stat().st_mtime != self._changed:
                self._read()

    def _read(self) -> None:
        """Read the file of public keys: one as PEM, or a JWKS."""
        assert self._file is not None
        try:
            changed, text = self._file.stat().st_mtime, self._file.read_bytes()
            self._keys = _jwks(text) if text.lstrip().startswith(b"{") else {"": _pem(text)}
        except (OSError, ValueError, KeyError, TypeError, jwt.PyJWTError) as error:
            raise WaymarkError(f"WAYMARK_SERVING_JWT_KEY_FILE: {self._file}: {error}") from error
        self._changed = changed


def _pem(text: bytes) -> tuple[str, Any]:
    key = load_pem_public_key(text)
    if isinstance(key, RSAPublicKey):
        return "RS256", key
    if isinstance(key, EllipticCurvePublicKey) and key.curve.name == "secp256r1":
        return "ES256", key
    raise ValueError("an RSA or P-256 public key is expected")


def _jwks(text: bytes) -> dict[str, tuple[str, Any]]:
    found = {}
    for entry in json.loads(text)["keys"]:
        if entry.get("use", "sig") != "sig":
            continue
        try:
            key = jwt.PyJWK.from_dict(entry)
        except jwt.PyJWTError:
            # Of a kind that is not for us.
            continue
        if key.algorithm_name in ("RS256", "ES256") and key.key_id:
            found[key.key_id] = (key.algorithm_name, key.key)
    if not found:
        raise ValueError("no key with a kid for RS256 or ES256")
    return found


def _words(claim: Any) -> frozenset[str]:
    if isinstance(claim, str):
        return frozenset(claim.split())
    return frozenset(one for one in claim if isinstance(one, str)) if isinstance(claim, list) else frozenset()
