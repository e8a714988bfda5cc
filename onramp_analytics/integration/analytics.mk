# The analytics targets of OnRamp. Taken as it is: `include` it, or drop it into make.d/.
# What is collected: make analytics-events

# The PostHog project of OnRamp; the user's environment goes before it. The key of a project is public by design.
# `onramp-analytics install --api-key … --host …` writes these two lines.
onramp-analytics-key :=
onramp-analytics-host :=

ONRAMP_ANALYTICS ?= $(if $(wildcard make.d/analytics.sh),sh make.d/analytics.sh,onramp-analytics)
ONRAMP_ANALYTICS_PACKAGE ?= onramp-analytics
unexport ONRAMP_ANALYTICS ONRAMP_ANALYTICS_PACKAGE ONRAMP_ANALYTICS_INSIDE

# The settings for our own processes, and for no other recipe: NAME='VALUE' words.
onramp-analytics-settings = \
  $(if $(onramp-analytics-key),$(if $(strip $(ONRAMP_ANALYTICS_API_KEY)$(POSTHOG_API_KEY)),,$\
    ONRAMP_ANALYTICS_API_KEY='$(onramp-analytics-key)')) \
  $(if $(onramp-analytics-host),$(if $(strip $(ONRAMP_ANALYTICS_HOST)$(POSTHOG_HOST)),,$\
    ONRAMP_ANALYTICS_HOST='$(onramp-analytics-host)'))

# Starts the tracker in the background: the interpreter and the file that onramp.program names. It holds no stream and no
# descriptor of make's (a job server has two), outlives the terminal, never prints, and where it is missing nothing happens.
onramp-analytics-start = trap '' HUP; { python= entry=; { read -r python; read -r entry; } <onramp.program; \
  $(addprefix export ,$(onramp-analytics-settings:%=%;)) \
  if [ -x "$$python" ] && [ -r "$$entry" ]; then exec "$$python" -IS "$$entry" $1; fi; \
  exec onramp-analytics from-make $1; } </dev/null >/dev/null 2>&1 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&- &

# For recipes, on a line of its own: $(call onramp-track,EVENT,KEY=VALUE KEY=VALUE)
# Nothing at all when analytics are off. What it may say: make analytics-events
onramp-track = $(if $(onramp-analytics-on)$(ONRAMP_ANALYTICS_INSIDE),@$(call onramp-analytics-start,track $1 $2))

.PHONY: analytics-enable analytics-disable analytics-status analytics-show-id analytics-reset-id analytics-flush \
        analytics-show-pending analytics-show-sent analytics-preview analytics-report analytics-events \
        analytics-doctor analytics-results

analytics-enable: ## Turn anonymous usage analytics on
	@$(onramp-analytics-settings) ONRAMP_ANALYTICS_PACKAGE='$(ONRAMP_ANALYTICS_PACKAGE)' $(ONRAMP_ANALYTICS) enable

analytics-disable: ## Turn analytics off and delete what is pending
	@$(ONRAMP_ANALYTICS) disable

analytics-status: ## Show whether anything is collected, what waits, and what is wrong
	@$(onramp-analytics-settings) $(ONRAMP_ANALYTICS) status

analytics-show-id: ## Show the random identifier of this installation
	@$(ONRAMP_ANALYTICS) show-id

analytics-reset-id: ## Replace that identifier by a new one
	@$(ONRAMP_ANALYTICS) reset-id

analytics-flush: ## Send what is pending now
	@$(onramp-analytics-settings) $(ONRAMP_ANALYTICS) flush

analytics-show-pending: ## Show every event that waits, as it will be sent
	@$(ONRAMP_ANALYTICS) show-pending

analytics-show-sent: ## Show the events that were sent
	@$(ONRAMP_ANALYTICS) show-sent

analytics-preview: ## Show the request that would be made, without making it
	@$(onramp-analytics-settings) $(ONRAMP_ANALYTICS) preview

analytics-report: ## Show what this installation has told over time
	@$(ONRAMP_ANALYTICS) report

analytics-results: ## Show what installations that opted in run
	@$(ONRAMP_ANALYTICS) results

analytics-doctor: ## Check everything that analytics need, with what to do where something is wrong
	@$(onramp-analytics-settings) $(ONRAMP_ANALYTICS) doctor

analytics-events: ## Show what may be collected at all
	@$(ONRAMP_ANALYTICS) events
