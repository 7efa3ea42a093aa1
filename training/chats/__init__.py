"""Conversations as OpenAI, Anthropic and LLaMA-Factory read them."""
