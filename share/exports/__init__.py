"""Folders that other programs read: what can be exported, and the folder while it is filled."""
