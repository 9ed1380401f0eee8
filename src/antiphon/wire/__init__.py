"""What crosses HTTP, in OpenAI's words: msgspec Structs and the parsers of what clients send. Imports nothing of ours."""
