"""What comes back, tried without an account: simulated installations, a stand-in for PostHog's query API, pages."""
