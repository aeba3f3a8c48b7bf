"""Engines behind one protocol: `local` needs no key and no network, `openai` speaks any compatible API."""
