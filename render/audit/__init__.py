"""Checking stems against their scores."""
