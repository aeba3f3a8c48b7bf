"""The steps of an estimate, in order: gather, transcribe, look, draft, price, total, save."""
