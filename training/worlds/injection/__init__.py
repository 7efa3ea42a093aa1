"""Prompt injection: the helpdesk's own data turn against it, and nothing may happen that nobody approved."""
