"""The rules that read notes without a model."""
