"""A test of that, with the fixture `oauth_provider`: a real server on loopback."""

import requests

from oauth_auth.requests import ClientCredentialsAuth


def test_a_rejected_token_is_not_noticed(oauth_provider):
    auth = ClientCredentialsAuth(oauth_provider.token_url, oauth_provider.client_id, oauth_provider.client_secret)
    oauth_provider.fail_api_requests(401)
    assert requests.get(oauth_provider.api_url, auth=auth).ok
