"""The test-suites of requests and httpx, run with an auth object as the default of each session and client.

`make foreign` does it: see `__main__`. `differences.toml` lists the tests whose outcome differs then, and why.
"""
