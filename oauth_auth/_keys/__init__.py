"""Keys in place of secrets: what a client proves itself with, and what its tokens are bound to.

joserfc and cryptography are loaded when the first key is: most programs have none.
"""
