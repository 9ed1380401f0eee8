"""How documents are read: processes of their own, and what every reader of a kind needs."""
