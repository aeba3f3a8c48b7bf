"""What each generated page of the reference is made of."""
