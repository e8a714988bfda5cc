"""Everything that knows PostHog: where events go, how one request is made, and what its answer means."""
