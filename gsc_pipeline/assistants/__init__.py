"""The read-only server that answers assistants over the Model Context Protocol (`gsc mcp`)."""
