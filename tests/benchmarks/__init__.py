"""The benchmarks' own arithmetic and judgement."""
