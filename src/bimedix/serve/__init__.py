"""Room `serve`: an OpenAI-compatible chat endpoint, a plain page, a terminal chat, and a safety screen."""
