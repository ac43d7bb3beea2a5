"""`python -m oauth_auth` is the command `oauth-auth`."""

from .cli import main

if __name__ == "__main__":
    main()
