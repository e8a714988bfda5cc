"""Try the results without an account: simulated installations, a stand-in for PostHog's query API, and pages."""
