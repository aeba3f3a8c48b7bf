"""The queue, measured: speed, latency, fairness and outages, beside procrastinate and plain arq in one run."""
