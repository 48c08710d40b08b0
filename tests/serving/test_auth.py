import json
import os
import time

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from components.contract.errors import WaymarkError
from serving.auth import CALLER, OPEN, AuthError, Caller, only_own, scope_of
from serving.http import install
from serving.settings import ServingSettings
from serving.tokens import Authority
from tests.support import loops

SECRET = "a secret of thirty-two bytes or more"
NAMES = {"jwt_issuer": "https://issuer.example", "jwt_audience": "waymark"}
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())


def settings(**more):
    return ServingSettings(**NAMES, **more)


@pytest.fixture(scope="module")
def authority():
    return Authority(settings(jwt_secret=SECRET))


def token(key=SECRET, algorithm="HS256", headers=None, **claims):
    usual = {
        "iss": NAMES["jwt_issuer"],
        "aud": NAMES["jwt_audience"],
        "exp": time.time() + 60,
        "scope": "recommend events",
        "associate_id": "A17",
    }
    kept = {name: value for name, value in (usual | claims).items() if value is not None}
    return jwt.encode(kept, key, algorithm, headers=headers)


def bearer(text):
    return f"Bearer {text}".encode()


def refusal(authority, header, scope="events"):
    with pytest.raises(AuthError) as found:
        authority.admit(scope, header)
    return found.value


def pem(key):
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def jwk(key, kid, algorithm):
    kind = jwt.algorithms.RSAAlgorithm if algorithm == "RS256" else jwt.algorithms.ECAlgorithm
    return {**kind.to_jwk(key.public_key(), as_dict=True), "kid": kid, "alg": algorithm, "use": "sig"}


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("POST", "/v1/models/waymark:predict", "recommend"),
        ("POST", "/v2/models/waymark/infer", "recommend"),
        ("POST", "/v1/events", "events"),
        ("DELETE", "/v1/associates/A/17", "forget"),
        ("DELETE", "/v1/associates/A\n17", "forget"),
        ("GET", "/v1/rules", "rules"),
        ("GET", "/v1/associates/A/17", "recommend"),
        ("GET", "/v1/pages", "recommend"),
        ("GET", "/portal/static/1/home.js", OPEN),
        ("PUT", "/v1/rules/pins", "rules"),
        *(
            ("GET", path, OPEN)
            for path in ("/", "/metrics", "/openapi.json", "/v2/health/live", "/v2/health/ready")
        ),
        *(("GET", path, OPEN) for path in ("/v1/models/waymark", "/v2/models/waymark/ready", "/v2")),
        # Whatever nobody thought of is closed.
        ("POST", "/v2/repository/models/waymark/unload", "operate"),
        ("GET", "/v1/events", "operate"),
        ("GET", "/v1/associates", "operate"),
        ("GET", "/v1/associates/A17/answers", "operate"),
        ("POST", "/v1/events/", "operate"),
        ("POST", "/v1/models/waymark:explain", "operate"),
        ("POST", "/", "operate"),
        ("GET", "/metrics\n", "operate"),
        ("POST", "/v1/models/a/b:predict", "operate"),
    ],
)
def test_scopes(method, path, scope):
    assert scope_of(method, path) == scope


def test_who_calls(authority):
    assert authority.admit(OPEN, b"") is None
    assert authority.admit("events", bearer(token())) == Caller(frozenset({"recommend", "events"}), "A17")
    service = token(scope=None, scp=["events", "service", 7], associate_id=None)
    assert authority.admit("events", bearer(service)) == Caller(frozenset({"events", "service"}), None)
    assert authority.admit("events", b"bearer " + token(associate_id=" A17 ").encode()).associate_id == "A17"
    by_subject = Authority(settings(jwt_secret=SECRET, jwt_associate_claim="sub"))
    assert by_subject.admit("events", bearer(token(sub="A9"))).associate_id == "A9"


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({"exp": None}, "the token has no exp"),
        ({"aud": None}, "the token has no aud"),
        ({"iss": None}, "the token has no iss"),
        ({"exp": 1}, "the token has expired"),
        ({"exp": "x"}, "the token is not valid"),
        ({"nbf": 4e9}, "the token is not valid yet"),
        ({"aud": "other"}, "the token is for another audience"),
        ({"iss": "other"}, "the token is of another issuer"),
        ({"key": "another secret of thirty-two bytes"}, "the token's signature is wrong"),
        ({"algorithm": "HS512"}, "the token is signed by another algorithm"),
        ({"algorithm": "none", "key": None}, "the token is signed by another algorithm"),
    ],
)
def test_tokens_that_will_not_do(authority, claims, message):
    error = refusal(authority, bearer(token(**claims)))
    assert (error.status, str(error)) == (401, message)
    assert error.headers["WWW-Authenticate"] == (
        f'Bearer realm="waymark", error="invalid_token", error_description="{message}"'
    )


def test_clocks_may_differ_a_little():
    late = bearer(token(exp=time.time() - 20))
    assert Authority(settings(jwt_secret=SECRET)).admit("events", late)
    assert refusal(Authority(settings(jwt_secret=SECRET, jwt_leeway_seconds=5)), late).status == 401


@pytest.mark.parametrize("header", [b"", b"Basic QTpC", b"Bearer", b"Bearer ", b"\xff\xfe"])
def test_no_token(authority, header):
    error = refusal(authority, header)
    assert (error.status, error.headers["WWW-Authenticate"]) == (401, 'Bearer realm="waymark"')


@given(st.binary(max_size=80) | st.text(max_size=80).map(lambda text: text.encode()))
def test_no_bytes_are_a_token_or_a_fault(authority, text):
    assert refusal(authority, b"Bearer " + text).status == 401
    head, body, signature = token().split(".")
    assert refusal(authority, bearer(head) + b"." + text + b"." + signature.encode()).status == 401
    assert refusal(authority, b"Bearer " + text + f".{body}.{signature}".encode()).status == 401


def test_what_a_token_may_not_do_is_named(authority):
    error = refusal(authority, bearer(token()), "forget")
    assert (error.status, str(error)) == (403, "the token lacks the scope forget")
    assert 'error="insufficient_scope"' in error.headers["WWW-Authenticate"]


@pytest.mark.parametrize("claim", [None, "", " ", 17, ["A17"]])
def test_a_token_without_an_associate_does_not_act_for_all(authority, claim):
    error = refusal(authority, bearer(token(associate_id=claim)))
    assert (error.status, "scope service" in str(error)) == (403, True)


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "RS256"), (EC, "ES256")])
def test_public_keys(tmp_path, key, algorithm):
    file = tmp_path / "key.pem"
    file.write_bytes(pem(key))
    authority = Authority(settings(jwt_key_file=file))
    assert authority.admit("events", bearer(token(key, algorithm)))
    # The classic forgery: the public key taken for an HMAC secret.
    forged = jwt.encode({"scope": "events"}, "x" * 32, "HS256")
    assert refusal(authority, bearer(forged)).status == 401


def test_a_set_of_keys_is_read_again_when_keys_are_rotated(tmp_path):
    file = tmp_path / "jwks.json"
    other = {"kty": "oct", "k": "c2VjcmV0", "kid": "c", "use": "sig"}
    file.write_text(json.dumps({"keys": [jwk(RSA, "a", "RS256"), other]}))
    authority = Authority(settings(jwt_key_file=file))
    first, second = token(RSA, "RS256", {"kid": "a"}), token(EC, "ES256", {"kid": "b"})
    assert authority.admit("events", bearer(first))
    assert refusal(authority, bearer(second)).status == 401
    assert refusal(authority, bearer(token(RSA, "RS256"))).status == 401
    assert refusal(authority, bearer(token("secret" * 6, "HS256", {"kid": "c"}))).status == 401
    file.write_text("{")
    os.utime(file, (1, 1))
    assert refusal(authority, bearer(second)).status == 401
    assert authority.admit("events", bearer(first))
    file.write_text(json.dumps({"keys": [jwk(EC, "b", "ES256")]}))
    assert authority.admit("events", bearer(second))
    assert refusal(authority, bearer(first)).status == 401


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"jwt_secret": "short"}, "JWT_SECRET: at least 32"),
        ({"jwt_secret": ""}, "JWT_SECRET: at least 32"),
        ({}, "JWT_SECRET or"),
        ({"jwt_secret": SECRET, "jwt_key_file": "x"}, "not both"),
        ({"jwt_secret": SECRET, "jwt_issuer": None}, "JWT_ISSUER"),
        ({"jwt_secret": SECRET, "jwt_audience": None}, "JWT_AUDIENCE"),
        ({"jwt_key_file": "no such file"}, "JWT_KEY_FILE: no such file"),
        ({"jwt_key_file": __file__}, "JWT_KEY_FILE"),
    ],
)
def test_settings_that_cannot_be_are_named(more, message):
    with pytest.raises(WaymarkError, match=message) as found:
        install(FastAPI(), ServingSettings(**(NAMES | more)), lambda: "R1")
    assert SECRET not in str(found.value)


def test_keys_of_other_kinds_are_refused(tmp_path):
    for name, text in {
        "p384.pem": pem(ec.generate_private_key(ec.SECP384R1())),
        "none.json": b'{"keys": []}',
        "no.json": b"{}",
    }.items():
        (tmp_path / name).write_bytes(text)
        with pytest.raises(WaymarkError, match="JWT_KEY_FILE"):
            Authority(settings(jwt_key_file=tmp_path / name))


def test_without_keys_nobody_is_asked():
    only_own(["A1", "A2"], "instances")


def test_an_associate_touches_its_own_alone():
    seen = CALLER.set(Caller(frozenset(), "A17"))
    try:
        only_own(["A17", None], "instances")
        with pytest.raises(AuthError, match="instances: the token is another associate's"):
            only_own(["A17", "A1"], "instances")
        CALLER.set(Caller(frozenset(), None))
        only_own(["A17", "A1"], "instances")
    finally:
        CALLER.reset(seen)


def test_the_gate_asks():
    app = FastAPI()

    @app.delete("/v1/associates/{name}")
    async def forget(name: str):
        only_own([name], "associate_id")
        return {}

    @app.get("/metrics")
    async def metrics():
        return {"caller": CALLER.get() is not None}

    install(app, settings(jwt_secret=SECRET), lambda: "R1")

    async def run():
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:

            async def forget(text):
                headers = {"authorization": bearer(text)} if text else {}
                answer = await http.delete("/v1/associates/A17", headers=headers)
                return answer.status_code, "www-authenticate" in answer.headers

            assert await forget(None) == (401, True)
            assert await forget("x") == (401, True)
            assert await forget(token()) == (403, True)
            assert await forget(token(scope="forget")) == (200, False)
            assert await forget(token(scope="forget", associate_id="A1")) == (403, True)
            assert await forget(token(scope="forget service", associate_id=None)) == (200, False)
            assert (await http.get("/metrics")).json() == {"caller": False}
            assert (await http.get("/nowhere")).status_code == 401

    loops.run(run())
