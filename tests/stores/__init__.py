"""The stores that come with the library, what is refused of a store, and the thread that uses it."""
