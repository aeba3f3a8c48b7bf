"""The estimate job: from a visit's photos and recordings to priced lines."""
