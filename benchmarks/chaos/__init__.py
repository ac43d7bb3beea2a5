"""Chaos: processes under load on one store, while whatever can go wrong does; no request may fail that needn't."""
