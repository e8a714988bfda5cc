"""For the maintainers of OnRamp: the questions, their queries, and PostHog's application."""
