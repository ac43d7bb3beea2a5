"""`python -m oauth_auth` is the command `oauth-auth`."""

import sys


def main() -> None:
    """Run the command, or say what it needs."""
    try:
        from . import cli  # noqa: PLC0415 - an extra
    except ImportError as error:
        sys.stderr.write(f"oauth-auth: {error}\n")
        sys.exit(2)
    cli.main()


if __name__ == "__main__":
    main()
