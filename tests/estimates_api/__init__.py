"""Estimates over HTTP: reading, editing, price items, and the arithmetic behind them."""
