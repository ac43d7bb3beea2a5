"""Test code that uses OAuth against a real authorization server and API on loopback.

    from oauth_auth.testing import LocalProvider

    with LocalProvider(token_lifetime=60) as provider:
        auth = ClientCredentialsAuth(provider.token_url, provider.client_id, provider.client_secret)
        assert requests.get(provider.api_url, auth=auth).ok
        provider.revoke_access_tokens()
        assert requests.get(provider.api_url, auth=auth).ok
        assert len(provider.token_requests) == 2

In pytest, the fixture ``oauth_provider`` is a running `LocalProvider`, new for each test.

The server needs Authlib and Flask: ``pip install "oauth_auth[testing]"``. Importing this package
loads neither; the first use of a name does.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._provider import LocalProvider
    from ._received import ReceivedRequest

__all__ = ["LocalProvider", "ReceivedRequest"]


def __getattr__(name: str) -> Any:
    if name == "ReceivedRequest":
        from ._received import ReceivedRequest  # noqa: PLC0415 (lazy)

        return ReceivedRequest
    if name == "LocalProvider":
        try:
            from ._provider import LocalProvider  # noqa: PLC0415 (lazy)
        except ModuleNotFoundError as error:
            missing = (error.name or "").partition(".")[0]
            raise ImportError(
                f"LocalProvider is built on Authlib and Flask, and {missing!r} is missing. "
                'Install them: pip install "oauth_auth[testing]"',
                name=missing,
            ) from error
        return LocalProvider
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
