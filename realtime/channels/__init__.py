"""One channel a visit: its window of events, its order, its subscribers."""
