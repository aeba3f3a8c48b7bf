"""How good estimates are: authored site visits in, the lines a contractor would have written as the measure."""
