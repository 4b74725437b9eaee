"""Benchmarks: one module a question, each with `run(options) -> Result`. See docs/internals/benchmarks.md."""
