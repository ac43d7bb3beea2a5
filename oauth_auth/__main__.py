"""The command `oauth-auth`, as `python -m oauth_auth`."""

import sys


def main() -> None:
    """Run the command; without the packages that it needs, print which, and exit with status 2."""
    try:
        from . import cli
    except ImportError as error:
        sys.stderr.write(f"oauth-auth: {error}\n")
        sys.exit(2)
    cli.main()


if __name__ == "__main__":
    main()
