"""What the embedded index is made of: segments and postings on disk, and the stores that are held in memory."""
