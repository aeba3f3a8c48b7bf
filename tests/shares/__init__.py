"""Shares: links for customers, the page behind them, and the decision."""
