"""Compares runs: reads them, tests them, draws them, writes one page."""
