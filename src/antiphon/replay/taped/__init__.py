"""The ports with a tape in front of them: what is asked and answered is recorded, or answered from recordings."""
