"""Which files hold sound, by the ends of their names. Importing this costs nothing."""

from __future__ import annotations

_SOUND = (".wav", ".wave", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".aifc", ".au", ".caf", ".w64")
_MEDIA = (".rf64", ".m4a", ".aac", ".mp4", ".m4v", ".mov", ".mkv", ".webm")

MEDIA_SUFFIXES = frozenset(_SOUND + _MEDIA)
