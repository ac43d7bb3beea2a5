"""Start the certified `oidc-provider` with the security profile on, and two protected APIs, on loopback.

    with SecureProvider() as server:
        auth = ClientCredentialsAuth.from_issuer(
            server.issuer, server.clients["key"], client_auth=PrivateKeyJwt(server.keys[0]), dpop=True
        )
        assert 200 == requests.get(server.api_url, auth=auth).status_code

The server believes nothing that's used twice: assertions, proofs, authorization codes. Logins are approved at once.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import urlencode

from joserfc.jwk import ECKey

from oauth_auth import ClientSecretJwt, PrivateKeyJwt
from oauth_auth.login import LoginContext
from tests.support.jwts import claims_of, header_of
from tests.support.modes import Mode

from .certificates import Authority, Certificate
from .login import authorize
from .node_server import NodeServer

__all__ = ["ApiRequest", "Call", "SecureProvider", "log_in"]


@dataclass(frozen=True)
class Call:
    """A call of an endpoint of the provider's."""

    place: str
    """The endpoint's name in the provider, such as `token` or `pushed_authorization_request`; else the path."""
    url: str
    client_id: str | None = None
    fields: dict[str, Any] | None = None
    """What was sent in the body; None where the provider hasn't come to read it."""
    proof: str | None = None
    certificate: str | None = None
    """The thumbprint of the client's certificate."""

    @property
    def assertion(self) -> dict[str, Any]:
        """What the client's assertion says."""
        assert self.fields is not None
        return claims_of(self.fields["client_assertion"])

    @property
    def nonce(self) -> str | None:
        """The nonce in the proof."""
        return None if self.proof is None else claims_of(self.proof).get("nonce")

    @property
    def key(self) -> str:
        """The thumbprint of the proof's key."""
        assert self.proof is not None
        return str(ECKey.import_key(header_of(self.proof)["jwk"]).thumbprint())


@dataclass(frozen=True)
class ApiRequest:
    """A request that an API got."""

    method: str
    path: str
    scheme: str
    token: str
    length: int
    sha256: str
    proof: dict[str, Any] | None = None
    """Its `header` and its `claims`."""
    error: str | None = None
    """What the API has answered; None if it has accepted the request."""

    @property
    def nonce(self) -> str | None:
        """The nonce in the proof."""
        return None if self.proof is None else self.proof["claims"].get("nonce")


def log_in(begin: LoginContext) -> str:
    """Be a `login`: have a person open the URL, whom the server lets in; return the redirect."""
    return authorize(begin(SecureProvider.redirect_uri).url, SecureProvider.redirect_uri)


class SecureProvider(NodeServer):
    """Run the server for the length of a `with` block; attributes are set once it is ready.

    With an `authority` it has https, and asks for certificates at `mtls_endpoint_aliases`. It then knows the client
    certificate `certificate` by its subject, and those in `self_signed` one by one.
    """

    program: ClassVar = "secure.mjs"

    issuer: str
    token_url: str
    authorization_url: str
    device_authorization_url: str
    introspection_url: str
    revocation_url: str
    userinfo_url: str
    pushed_authorization_request_url: str
    api_url: str
    """A protected resource: any method and subpath; `?redirect=` redirects, `/admin` wants the scope `admin`."""
    other_api_url: str
    """Another one, of another origin, with nonces of its own."""
    certified_api_url: str
    """The first one at a port that asks for certificates."""
    certified_url: str
    """The origin of `mtls_endpoint_aliases`."""

    clients: dict[str, str]
    """The ids of the clients that it knows.

    `key`: `private_key_jwt`, takes the issuer and URLs as an audience. `fapi`: FAPI 2.0, with pushed requests, bound
    tokens, and refresh tokens that don't rotate. `signing`: must sign its requests; `pushing`: must push them.
    `secret_jwt`: `client_secret_jwt`; `post`: `client_secret_post`. `public`: its tokens must be bound.
    With certificates: `tls` and `fapi_tls`: `tls_client_auth`; `self_signed`: `self_signed_tls_client_auth`;
    `public_tls`: none, but bound tokens.
    """

    redirect_uri = "http://127.0.0.1:49152/callback"
    """Registered, with any port, for 127.0.0.1 and localhost."""
    resources = ("https://one.example", "https://two.example")
    """The resources that it knows; no others."""

    def __init__(
        self,
        authority: Authority | None = None,
        certificate: Certificate | None = None,
        self_signed: tuple[Certificate, ...] = (),
    ) -> None:
        made = [ECKey.generate_key("P-256", {"kid": kid, "use": "sig", "alg": "ES256"}) for kid in ("one", "two")]
        self.keys = [key.as_dict(private=True) for key in made]
        """The private keys of the clients that sign: the current one, and the next one."""
        self.secret = secrets.token_urlsafe(32)
        """The secret of the clients that have one."""
        setup: dict[str, Any] = {"keys": [key.as_dict(private=False) for key in made], "secret": self.secret}
        if authority is not None:
            assert certificate is not None
            setup["tls"] = {
                "ca": authority.certificate.read_text(),
                "certificate": authority.server.certificate.read_text(),
                "key": authority.server.private_key.read_text(),
                "subject": certificate.subject,
                "self_signed": [one.jwk for one in self_signed],
            }
        super().__init__({"SECURE_SETUP": json.dumps(setup)})

    def _take(self, ready: dict[str, Any]) -> None:
        super()._take(ready)
        self.clients = ready["clients"]

    # -- Its clients -------------------------------------------------------------------------------------------------

    def make(self, mode: Mode, grant: str = "ClientCredentialsAuth", client: str = "key", **options: Any) -> Any:
        """Make an auth object of the mode's plug-in; a person who is needed logs in at once."""
        secret = self.secret if client in {"secret_jwt", "post"} else None
        own: dict[str, Any] = {"scope": "api"}
        if client == "secret_jwt":
            own["client_auth"] = ClientSecretJwt()
        elif client in {"key", "fapi", "signing", "pushing"}:
            own["client_auth"] = PrivateKeyJwt(self.keys[0])
        if grant == "AuthorizationCodeAuth":
            own |= {"login": log_in, "scope": "openid api"}
        make = getattr(mode.plugin, grant).from_issuer
        return make(self.issuer, self.clients[client], secret, **{**own, **options})

    # -- What it was asked -------------------------------------------------------------------------------------------

    def calls(self, place: str | None = None) -> list[Call]:
        """Return the calls of the provider since the last reset, refused ones included; of one endpoint, or all."""
        calls = [Call(**call) for call in self._control("GET", "/test/calls")]
        return [call for call in calls if place in {None, call.place}]

    @property
    def logins(self) -> int:
        """How often somebody has come to log in since the last reset."""
        return len(self.calls("/auth"))

    def api_requests(self, at: str = "api") -> list[ApiRequest]:
        """Return the requests that an API got since the last reset, refused ones included; `api` or `other_api`."""
        return [ApiRequest(**request) for request in self._control("GET", f"/test/api-requests?at={at}")]

    # -- How it behaves ----------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Forget what was asked, and behave as at the start."""
        self._control("POST", "/test/reset")

    def revoke_access_tokens(self) -> None:
        """Have every access token issued so far rejected; refresh tokens stay good."""
        self._control("POST", "/test/revoke-access-tokens")

    def set_access_token_lifetime(self, seconds: int) -> None:
        """Give access tokens issued from now on this lifetime."""
        self._control("POST", f"/test/ttl?seconds={seconds}")

    def set_clock_ahead(self, seconds: float) -> None:
        """Have its clock so much ahead of ours."""
        self._control("POST", f"/test/clock?ahead={seconds}")

    def use_nonces(self, mode: str) -> None:
        """Have the provider want a nonce in each proof (`required`), or `optional`, or know of none (`none`).

        By default it wants none as long as a proof's time is right. Called again, it wants a new one.
        """
        self._control("POST", f"/test/server-nonces?mode={mode}")

    def turn_nonce(self, at: str = "api", *, keeps_others: bool = False) -> None:
        """Have an API want a new nonce in each proof; with `keeps_others` it hands that out, and takes old ones, too.

        At the start an API wants none.
        """
        self._control("POST", f"/test/turn-nonce?at={at}&keep={str(keeps_others).lower()}")

    def look_first_at(self, what: str, at: str = "api") -> None:
        """Have an API judge a request's `proof` or its `token` first; at the start it's the proof."""
        self._control("POST", f"/test/order?at={at}&first={what}")

    def refuse(
        self,
        at: str,
        status: int,
        error: str | None = None,
        *,
        count: int = 1,
        is_handled: bool = True,
        has_nonce: bool = True,
    ) -> None:
        """Answer the next requests to an endpoint, or an API, so; status 0: drop the connection.

        They are handled first, so that all that they carry is used, unless `is_handled` is false. At an API, `error` is
        that of a challenge. With `use_dpop_nonce` goes a nonce that's never good, if `has_nonce`.
        """
        query = {"at": at, "status": status, "count": count} | ({} if error is None else {"error": error})
        flags = {"handled": is_handled, "nonce": has_nonce}
        query |= {name: str(value).lower() for name, value in flags.items()}
        self._control("POST", f"/test/refuse?{urlencode(query)}")

    def want_login(self, at: str = "api", **wanted: Any) -> None:
        """Have an API want a login with one of `acr_values`, or not older than `max_age` seconds; without, any."""
        self._control("POST", f"/test/login-wanted?{urlencode({'at': at, **wanted})}")

    def limit_logins(self, acr: str) -> None:
        """Have people log in no more strongly than this, whatever is asked for: `password`, `phishing-resistant`."""
        self._control("POST", f"/test/strongest-login?acr={acr}")
