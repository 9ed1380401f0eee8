"""What crosses HTTP, in OpenAI's words: msgspec Structs and the parsers of requests. Imports nothing of ours."""
