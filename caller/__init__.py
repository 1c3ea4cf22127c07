"""The example application: an OpenAI endpoint called through LangChain."""
