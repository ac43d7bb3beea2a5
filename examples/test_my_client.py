"""How to test your own code: the fixture `oauth_provider` is a real authorization server and API, with faults.

Run it: pytest examples/test_my_client.py
"""

from collections.abc import Iterator

import pytest
import requests

from oauth_auth import OAuthProviderException
from oauth_auth.requests import ClientCredentialsAuth
from oauth_auth.testing import LocalProvider


class OrderClient:
    """The code under test."""

    def __init__(self, token_url: str, client_id: str, client_secret: str, api_url: str) -> None:
        self._api_url = api_url
        self._session = requests.Session()
        self._session.auth = ClientCredentialsAuth(token_url, client_id, client_secret)

    def close(self) -> None:
        self._session.close()

    def place(self, order: dict[str, int]) -> int:
        answer = self._session.post(f"{self._api_url}/orders", json=order, timeout=5)
        answer.raise_for_status()
        return int(answer.json()["length"])


@pytest.fixture
def orders(oauth_provider: LocalProvider) -> Iterator[OrderClient]:
    provider = oauth_provider
    client = OrderClient(provider.token_url, provider.client_id, provider.client_secret, provider.api_url)
    yield client
    client.close()


def test_a_revoked_token_is_not_noticed(orders: OrderClient, oauth_provider: LocalProvider) -> None:
    assert orders.place({"number": 1}) > 0
    oauth_provider.revoke_access_tokens()
    assert orders.place({"number": 2}) > 0
    assert len(oauth_provider.token_requests) == 2


def test_a_short_outage_of_the_token_endpoint_is_not_noticed(
    orders: OrderClient, oauth_provider: LocalProvider
) -> None:
    oauth_provider.fail_token_requests(503, count=1)
    assert orders.place({"number": 1}) > 0


def test_a_wrong_secret_is_told(oauth_provider: LocalProvider) -> None:
    client = OrderClient(oauth_provider.token_url, oauth_provider.client_id, "a wrong secret", oauth_provider.api_url)
    with pytest.raises(OAuthProviderException, match="invalid_client"):
        client.place({"number": 1})
    client.close()
