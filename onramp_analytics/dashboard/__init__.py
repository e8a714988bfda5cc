"""Show results to the maintainers and users of OnRamp: queries, PostHog's application, and the public page."""
