"""Stored scores of several systems beside each other, and beside published ones."""
