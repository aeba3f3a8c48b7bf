"""Events and their wire format: values in, values out, no I/O."""
