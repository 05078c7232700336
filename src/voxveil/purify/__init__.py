"""What an attacker does to wash a protection out before he clones; each is a transform of speech."""
