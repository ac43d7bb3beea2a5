"""The token endpoint's operations, for code that makes a plug-in of its own: see the plug-ins' subclasses."""

from ._server.operations import OAuthAuthorizationController, Server

__all__ = ["OAuthAuthorizationController", "Server"]
