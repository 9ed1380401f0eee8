"""What keeps the bytes of files, one file each (law 11)."""
