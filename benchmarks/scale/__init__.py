"""What it takes to hold up to 1,000,000 open streams: a model of means, and a simulation of the queues."""
