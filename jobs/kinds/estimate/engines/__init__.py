"""Engines that read media and draft lines, behind one protocol."""
