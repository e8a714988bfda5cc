"""Send events to PostHog: the destination, one request, and what follows from its answer."""
