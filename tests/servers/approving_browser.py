"""A browser without a window, for BROWSER: opens a URL and follows where it leads; the person approves at once."""

import sys

import requests

requests.get(sys.argv[1], timeout=10)
