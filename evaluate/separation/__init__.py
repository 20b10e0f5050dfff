"""Separation of audio of any length by trained models, in bounded memory."""
