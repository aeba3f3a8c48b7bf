"""What the relay does, measured from outside: a load client in C, peers to compare with, and a checker under fault."""
