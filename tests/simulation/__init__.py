"""A fleet of programs in virtual time: the shipped `TokenSource`, a simulated server, store and API, and a judge."""
