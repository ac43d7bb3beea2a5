"""The project itself: its architecture, documentation, examples, benchmarks and wheel."""
