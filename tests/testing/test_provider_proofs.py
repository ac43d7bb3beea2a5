"""What `LocalProvider` takes for a proof of possession (RFC 9449), asked of it as any HTTP client would."""

from __future__ import annotations

import email.utils
import time
from typing import Any

import pytest
import requests
from joserfc import jwk

import oauth_auth.requests
from oauth_auth.testing import LocalProvider

from .bare_client import BareClient, in_threads, refusal
from .signing import SigningKey

VERIFIER = "v" * 43
CHALLENGE = "7w_YNF9DSfIdPf_pRjSq646_kPr-2-o9NAl16JGghdM"


@pytest.fixture
def key() -> SigningKey:
    return SigningKey()


def token(client: BareClient, proof: str | None, grant_type: str = "client_credentials", **fields: str) -> Any:
    form = {"grant_type": grant_type, **fields}
    headers = {} if proof is None else {"DPoP": proof}
    return client.session.post(client.provider.token_url, data=form, auth=client.basic, headers=headers)


def bound(client: BareClient, key: SigningKey) -> str:
    answer = token(client, key.proof(client.provider.token_url)).json()
    assert "DPoP" == answer["token_type"]
    return str(answer["access_token"])


def api(client: BareClient, access_token: str, proof: str | None = None, scheme: str = "DPoP") -> requests.Response:
    headers = {"Authorization": f"{scheme} {access_token}", **({} if proof is None else {"DPoP": proof})}
    return client.session.get(client.provider.api_url, headers=headers)


def proved(client: BareClient, key: SigningKey, access_token: str, **changes: Any) -> requests.Response:
    proof = key.proof(client.provider.api_url, "GET", **{"token": access_token, **changes})
    return api(client, access_token, proof)


# The token endpoint


@pytest.mark.parametrize("alg", ["ES256", "ES384", "ES512", "EdDSA", "Ed25519", "RS256", "PS256"])
@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
def test_a_proof_binds_the_token(client: BareClient, alg: str) -> None:
    """A token that's asked for with a proof has the type DPoP and the key's thumbprint, whatever the kind of key."""
    pairs: dict[str, Any] = {
        **{f"ES{bits}": lambda bits=bits: jwk.ECKey.generate_key(f"P-{bits}") for bits in (256, 384)},
        "ES512": lambda: jwk.ECKey.generate_key("P-521"),
        **dict.fromkeys(("EdDSA", "Ed25519"), lambda: jwk.OKPKey.generate_key("Ed25519")),
        **dict.fromkeys(("RS256", "PS256"), lambda: jwk.RSAKey.generate_key(2048)),
    }
    key = SigningKey(pairs[alg](), alg)
    access_token = bound(client, key)
    fields = client.introspect(access_token).json()
    assert ({"jkt": key.thumbprint}, "DPoP") == (fields["cnf"], fields["token_type"])
    assert 200 == proved(client, key, access_token).status_code


WRONG_PROOFS: dict[str, dict[str, Any]] = {
    "typ": {"header": {"typ": "JWT"}},
    "no typ": {"header": {"typ": None}},
    "no key": {"header": {"jwk": None}},
    "a private key": {"private": True},
    "another key": {"header": {"jwk": SigningKey().public}},
    "no jti": {"jti": None},
    "htm": {"htm": "PUT"},
    "no htm": {"htm": None},
    "htu": {"htu": "http://127.0.0.1:9/token"},
    "no htu": {"htu": None},
    "a query": {"query": "?a=b"},
    "a fragment": {"query": "#"},
    "too old": {"age": 90},
    "of the future": {"age": -90},
    "no iat": {"iat": None},
    "a text as iat": {"iat": "now"},
}


@pytest.mark.parametrize("at", ["token", "api"])
@pytest.mark.parametrize("wrong", WRONG_PROOFS)
def test_a_wrong_proof_is_refused(client: BareClient, key: SigningKey, at: str, wrong: str) -> None:
    """Each thing that section 4.3 says is looked at, at the token endpoint and at the API."""
    changes = dict(WRONG_PROOFS[wrong])
    url = client.provider.token_url if at == "token" else client.provider.api_url
    if "query" in changes:
        changes["htu"] = url + changes.pop("query")
    if changes.pop("private", False):
        changes["header"] = {"jwk": key.key.as_dict(private=True)}
    if "age" in changes:
        changes["iat"] = int(time.time()) - changes.pop("age")
    if at == "token":
        assert (400, "invalid_dpop_proof") == refusal(token(client, key.proof(url, **changes)))
    else:
        answer = proved(client, key, bound(client, key), **changes)
        assert (401, "invalid_dpop_proof") == refusal(answer)
        challenge = answer.headers["WWW-Authenticate"]
        assert challenge.startswith("DPoP ")
        assert 'error="invalid_dpop_proof"' in challenge
        assert "ES256" in challenge


@pytest.mark.parametrize("proof", ["", "x", "a.b.c", "a.b", "e30.e30.e30", "é.é.é", "x" * 20_000])
def test_what_is_no_jwt_is_refused(client: BareClient, proof: str) -> None:
    """A header that isn't even a JWT is a refused proof, not an error of the server's."""
    assert (400, "invalid_dpop_proof") == refusal(token(client, proof.encode().decode("latin-1")))


def test_symmetric_and_unsigned_proofs_are_refused(client: BareClient, key: SigningKey) -> None:
    """The algorithm must be one of key pairs."""
    url = client.provider.token_url
    shared = SigningKey(jwk.OctKey.generate_key(256), "HS256")
    for public, what in ((shared.key.as_dict(), "private"), (key.public, "algorithm")):
        answer = token(client, shared.proof(url, header={"jwk": public}))
        assert (400, "invalid_dpop_proof") == refusal(answer)
        assert what in answer.json()["error_description"]
    head, claims, _ = key.proof(url, header={"alg": "ES256"}).split(".")
    assert (400, "invalid_dpop_proof") == refusal(token(client, f"{head}.{claims}."))


def test_a_changed_proof_is_refused(client: BareClient, key: SigningKey) -> None:
    """The signature is over all of it."""
    mine, other = (key.proof(client.provider.token_url).split(".") for _ in range(2))
    assert (400, "invalid_dpop_proof") == refusal(token(client, ".".join((*mine[:2], other[2]))))


def test_a_proof_is_good_once(client: BareClient, key: SigningKey) -> None:
    """A proof used again is refused, also if it was refused before, and of many at once one gets through."""
    proof = key.proof(client.provider.token_url)
    assert 1 == sum(answer.ok for answer in in_threads(8, lambda: token(client, proof)))
    assert (400, "invalid_dpop_proof") == refusal(token(client, proof))
    client.provider.dpop_nonces = True
    first = key.proof(client.provider.token_url)
    assert (400, "use_dpop_nonce") == refusal(token(client, first))
    client.provider.dpop_nonces = False
    assert (400, "invalid_dpop_proof") == refusal(token(client, first))


def test_the_url_is_the_one_that_is_called(client: BareClient, key: SigningKey) -> None:
    """Scheme and host may be in any case; a server called by another name is proved by that name."""
    access_token = bound(client, key)
    for changes in ({"htu": client.provider.api_url.replace("http", "HTTP")}, {}):
        assert 200 == proved(client, key, access_token, **changes).status_code
    url = client.provider.api_url.replace("127.0.0.1", "localhost")
    proof = key.proof(url, "GET", token=access_token)
    headers = {"Host": url.split("/")[2], "Authorization": f"DPoP {access_token}"}
    for got, sent in ((200, proof), (401, key.proof(client.provider.api_url, "GET", token=access_token))):
        answer = client.session.get(client.provider.api_url + "?q=1", headers={**headers, "DPoP": sent})
        assert got == answer.status_code


def test_a_proof_can_be_demanded(client: BareClient, key: SigningKey) -> None:
    """With `require_dpop` no token is had without a proof, and the API takes bound ones alone; both say so."""
    bearer = client.token().json()["access_token"]
    client.provider.require_dpop = True
    assert (400, "invalid_dpop_proof") == refusal(client.token())
    assert (401, "invalid_token") == refusal(client.api(bearer))
    assert client.session.get(client.provider.api_url).headers["WWW-Authenticate"].startswith("DPoP ")
    assert client.session.get(client.provider.resource_metadata_url).json()["dpop_bound_access_tokens_required"]
    assert 200 == proved(client, key, bound(client, key)).status_code


def test_the_client_comes_first(client: BareClient, key: SigningKey) -> None:
    """A client that isn't known isn't told about its proof."""
    client.basic = (client.provider.client_id, "wrong")
    assert (401, "invalid_client") == refusal(token(client, "nonsense"))


# The API


def test_a_bound_token_needs_its_key(client: BareClient, key: SigningKey) -> None:
    """A bound token is nothing without a proof, with another's, for another token, or as a bearer token."""
    access_token, other = bound(client, key), bound(client, key)
    assert (401, "invalid_dpop_proof") == refusal(api(client, access_token))
    assert (401, "invalid_token") == refusal(proved(client, SigningKey(), access_token))
    proof = key.proof(client.provider.api_url, "GET", token=other)
    assert (401, "invalid_dpop_proof") == refusal(api(client, access_token, proof))
    assert (401, "invalid_dpop_proof") == refusal(api(client, access_token, key.proof(client.provider.api_url, "GET")))
    answer = client.api(access_token)
    assert (401, "invalid_token") == refusal(answer)
    assert answer.headers["WWW-Authenticate"].startswith("DPoP ")


def test_a_bearer_token_is_none_for_proofs(client: BareClient, key: SigningKey) -> None:
    """A token that's bound to nothing isn't taken with a proof; nor is one that's unknown or was revoked."""
    assert (401, "invalid_token") == refusal(proved(client, key, client.token().json()["access_token"]))
    assert (401, "invalid_token") == refusal(proved(client, key, "unknown"))
    access_token = bound(client, key)
    client.provider.revoke_access_tokens()
    answer = proved(client, key, access_token)
    assert (401, "invalid_token") == refusal(answer)
    assert answer.headers["WWW-Authenticate"].startswith("DPoP ")


def test_the_scheme_is_taken_in_any_case(client: BareClient, key: SigningKey) -> None:
    """`dpop` is the scheme DPoP; alone it's no token, and is answered by a challenge without an error."""
    access_token = bound(client, key)
    proof = key.proof(client.provider.api_url, "GET", token=access_token)
    assert 200 == api(client, access_token, proof, scheme="dpop").status_code
    challenge = client.session.get(client.provider.api_url, headers={"Authorization": "DPoP"}).headers[
        "WWW-Authenticate"
    ]
    assert challenge.startswith("DPoP ")
    assert "error" not in challenge


def test_a_planned_401_is_of_the_request_s_scheme(client: BareClient, key: SigningKey) -> None:
    """A failure on demand challenges a bound token as what it is."""
    access_token = bound(client, key)
    client.provider.fail_api_requests(401)
    challenge = proved(client, key, access_token).headers["WWW-Authenticate"]
    assert challenge.startswith("DPoP ")
    assert 'error="invalid_token"' in challenge


# Nonces


def test_nonces(client: BareClient, key: SigningKey) -> None:
    """With nonces on, each place wants its own present one, which all its answers have; new ones can be had."""
    provider = client.provider
    provider.dpop_nonces = True
    answer = token(client, key.proof(provider.token_url))
    assert (400, "use_dpop_nonce") == refusal(answer)
    nonce = answer.headers["DPoP-Nonce"]
    answer = token(client, key.proof(provider.token_url, nonce=nonce))
    assert (200, nonce) == (answer.status_code, answer.headers["DPoP-Nonce"])
    access_token = answer.json()["access_token"]

    answer = proved(client, key, access_token, nonce=nonce)
    assert (401, "use_dpop_nonce") == refusal(answer)
    assert 'DPoP realm="LocalProvider"' in answer.headers["WWW-Authenticate"]
    assert 'error="use_dpop_nonce"' in answer.headers["WWW-Authenticate"]
    own = answer.headers["DPoP-Nonce"]
    assert own != nonce
    for _ in range(2):
        answer = proved(client, key, access_token, nonce=own)
        assert (200, own) == (answer.status_code, answer.headers["DPoP-Nonce"])

    provider.turn_dpop_nonces()
    answers = proved(client, key, access_token, nonce=own), token(client, key.proof(provider.token_url, nonce=nonce))
    assert [(401, "use_dpop_nonce"), (400, "use_dpop_nonce")] == [refusal(answer) for answer in answers]
    assert not {own, nonce} & {answer.headers["DPoP-Nonce"] for answer in answers}


def test_no_nonces_unless_asked_for(client: BareClient, key: SigningKey) -> None:
    """By default no answer has a nonce, and failures on demand have the fields that the test says alone."""
    answer = token(client, key.proof(client.provider.token_url))
    assert "DPoP-Nonce" not in answer.headers
    assert "DPoP-Nonce" not in proved(client, key, answer.json()["access_token"]).headers
    client.provider.dpop_nonces = True
    client.provider.fail_api_requests(401, headers={})
    assert "DPoP-Nonce" not in client.session.get(client.provider.api_url).headers


# Clocks


def test_the_clock_can_be_off(client: BareClient, key: SigningKey) -> None:
    """The provider's clock is in `Date`, judges proofs, and is what introspection tells; no token dies of it."""
    provider, access_token = client.provider, bound(client, key)
    provider.clock_offset = -300
    answer = token(client, key.proof(provider.token_url))
    assert (400, "invalid_dpop_proof") == refusal(answer)
    date = email.utils.parsedate_to_datetime(answer.headers["Date"]).timestamp()
    assert abs(date - (time.time() - 300)) < 30
    answer = token(client, key.proof(provider.token_url, iat=int(date)))
    assert 200 == answer.status_code
    assert abs(client.introspect(answer.json()["access_token"]).json()["iat"] - date) < 30
    assert (401, "invalid_dpop_proof") == refusal(proved(client, key, access_token))
    assert 200 == proved(client, key, access_token, iat=int(date)).status_code


# Refresh tokens


def public(client: BareClient, key: SigningKey | None) -> dict[str, Any]:
    """Return the tokens of a login with a public client."""
    client.basic = None
    code = client.code(code_challenge=CHALLENGE, code_challenge_method="S256")
    fields = {"code": code, "code_verifier": VERIFIER, "redirect_uri": "http://127.0.0.1:9/callback"}
    proof = key.proof(client.provider.token_url) if key else None
    answer = token(client, proof, "authorization_code", client_id=client.provider.client_id, **fields)
    assert 200 == answer.status_code
    return dict(answer.json())


def test_a_public_client_s_refresh_token_is_bound(client: BareClient, key: SigningKey) -> None:
    """It's refused with another key or none, and stays good with its own (section 5)."""
    refresh_token = public(client, key)["refresh_token"]

    def refreshed(by: SigningKey | None, refresh_token: str) -> Any:
        proof = by.proof(client.provider.token_url) if by else None
        fields = {"client_id": client.provider.client_id, "refresh_token": refresh_token}
        return token(client, proof, "refresh_token", **fields)

    for other in (SigningKey(), None):
        assert (400, "invalid_grant") == refusal(refreshed(other, refresh_token))
    answer = refreshed(key, refresh_token).json()
    assert "DPoP" == answer["token_type"]
    assert (400, "invalid_grant") == refusal(refreshed(SigningKey(), answer["refresh_token"]))
    unbound = public(client, None)
    assert ("Bearer", 200) == (unbound["token_type"], refreshed(key, unbound["refresh_token"]).status_code)


def test_a_confidential_client_may_change_its_key(client: BareClient, key: SigningKey) -> None:
    """Its refresh tokens are bound to the client; each access token is bound to the key of its own request."""
    user = {"username": client.provider.username, "password": client.provider.password}
    first = token(client, key.proof(client.provider.token_url), "password", **user).json()
    other = SigningKey()
    proof = other.proof(client.provider.token_url)
    second = token(client, proof, "refresh_token", refresh_token=first["refresh_token"]).json()
    for owner, answer in ((key, first), (other, second)):
        assert 200 == proved(client, owner, answer["access_token"]).status_code


# With this library


@pytest.mark.parametrize("nonces", [False, True])
def test_auth_objects_prove_themselves(nonces: bool) -> None:
    """What the library sends is taken, over a revocation and new nonces, by a provider whose clock is off."""
    with LocalProvider() as provider, requests.Session() as session:
        provider.require_dpop, provider.dpop_nonces, provider.clock_offset = True, nonces, -600
        session.auth = oauth_auth.requests.ClientCredentialsAuth(
            provider.token_url, provider.client_id, provider.client_secret, dpop=True
        )
        assert session.get(provider.api_url).ok
        provider.turn_dpop_nonces()
        provider.revoke_access_tokens()
        assert session.post(provider.api_url, data=b"body").json()["length"] == 4
